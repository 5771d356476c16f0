# SPDX-License-Identifier: Apache-2.0
"""TCP both ways, HTTP under load and one request after the other, from a client on this machine.

With the OCI command line and containerd, the containers have a veth on a bridge of a namespace that plays
the host's part, as Docker and CNI connect them; with Docker, Docker's own bridge.
"""

import json
import re
import sys

from testbed.network import Network
from testbed.process import BedError, wait_until

from .. import metrics
from ..commands import Failed, run
from ..fronts.front import Needs

REQUESTS = 50
CONNECTIONS = 8
IPERF, HTTP = 5201, 80
# Requests one after the other, each on a connection of its own; prints the milliseconds of each.
REQUESTER = """
import socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
request = f"GET / HTTP/1.0\\r\\nHost: {address}\\r\\n\\r\\n".encode()
for _ in range(count):
    begin, answer = time.perf_counter(), b""
    with socket.create_connection((address, port), 10) as connection:
        connection.sendall(request)
        while data := connection.recv(65536):
            answer += data
    if b" 200 " not in answer[:20]:
        sys.exit(f"the server says {answer[:80]!r}")
    print((time.perf_counter() - begin) * 1000)
"""
SERVERS = "{iperf} -s -D >/dev/null 2>&1; httpd -p 80 -h /www"


def wrk_figures(text):
    """(requests a second, median latency in ms)."""
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)\b", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not median or not rate:
        raise Failed(f"wrk says {text[-200:]!r}")
    scale = {"us": 0.001, "ms": 1, "s": 1000}[median[2]]
    return float(rate[1]), float(median[1]) * scale


def iperf_figure(text):
    """Mbit/s that arrived."""
    try:
        report = json.loads(text)
    except ValueError:
        raise Failed(f"iperf3 says {text[-200:]!r}") from None
    if "error" in report:
        raise Failed(f"iperf3: {report['error']}")
    return report["end"]["sum_received"]["bits_per_second"] / 1e6


class _Bridge:
    """Addresses and namespaces of the front ends that leave the network to the caller."""

    def __init__(self, bench):
        self._net = Network(bench.base, bench.token)
        self._numbers = iter(range(2, 250))
        self._addresses = {}

    def needs(self, runtime):
        number = next(self._numbers)
        namespace = self._net.new_namespace()
        self._net.add_veth(namespace, number)
        self._addresses[runtime.name] = f"10.88.0.{number}"
        return Needs(netns=self._net.path(namespace))

    def address(self, box):
        return self._addresses[box.runtime.name]

    def enter(self, *argv):
        return self._net.argv(*argv)

    def close(self):
        self._net.destroy()


class _Docker:
    def __init__(self, bench):
        self._front = bench.front

    def needs(self, _runtime):
        return Needs()

    def address(self, box):
        return self._front.address(box)

    def enter(self, *argv):
        return self._front.entered(*argv)

    def close(self):
        """The bridge is the daemon's."""


class Client:
    """What measures one container."""

    def __init__(self, network, tools, address, seconds):
        self._network, self._tools, self._address = network, tools, address
        self._seconds = seconds

    def _run(self, *argv, timeout=30):
        return run(self._network.enter(*map(str, argv)), timeout + self._seconds).out

    def answers(self):
        """Waits for the server; it may be an emulated guest's."""
        def asked():
            return run(self._network.enter(*self._requester(1)), 20, check=False).code == 0
        try:
            wait_until(asked, 30, f"an answer from {self._address}")
        except AssertionError as error:
            raise Failed(str(error)) from None

    def iperf(self, *options):
        argv = self._tools.argv("iperf3")
        return iperf_figure(self._run(*argv, "-c", self._address, "-p", IPERF, "-t", self._seconds,
                                      "-J", *options))

    def load(self):
        argv = self._tools.argv("wrk")
        rate, busy = wrk_figures(self._run(*argv, "-t", 1, "-c", CONNECTIONS, "-d",
                                           f"{self._seconds}s", "--latency", f"http://{self._address}:{HTTP}/"))
        return {"network.rate": rate, "network.busy": busy}

    def single(self):
        # One program makes them all: what is measured is the network, not the start of a program.
        text = self._run(*self._requester(REQUESTS), timeout=60)
        return {"network.single": [float(line) for line in text.split()]}

    def _requester(self, count):
        return [sys.executable, "-c", REQUESTER, self._address, str(HTTP), str(count)]


def measure(bench):
    names = [metric.id for metric in metrics.of_group("network")]
    try:
        network = _Docker(bench) if bench.front.name == "docker" else _Bridge(bench)
    except BedError as error:
        for runtime in bench.steady():
            bench.fail(runtime, names, Failed(f"no network for containers: {error}"))
        return
    clients, boxes = {}, {}
    try:
        boxes = bench.open_boxes(bench.steady(), names, network.needs)
        for runtime in [r for r in bench.steady() if r.name in boxes]:
            def serve(runtime=runtime):
                iperf = " ".join(bench.tools.argv("iperf3", "/bench"))
                bench.inside(boxes[runtime.name], "sh", "-c", SERVERS.format(iperf=iperf))
                client = Client(network, bench.tools, network.address(boxes[runtime.name]),
                                bench.plan.pick(1, 2))
                client.answers()
                clients[runtime.name] = client
                return {}
            bench.attempt(runtime, names, serve)
        for turn, runtime in bench.rounds([r for r in bench.steady() if r.name in clients],
                                          bench.plan.count(1, 5), warm_up=not bench.plan.quick,
                                          what="network"):
            client = clients[runtime.name]
            for some, work in ((["network.in"], lambda: {"network.in": client.iperf()}),
                               (["network.out"], lambda: {"network.out": client.iperf("-R")}),
                               (["network.rate", "network.busy"], client.load),
                               (["network.single"], client.single)):
                if bench.goes_on(runtime):
                    bench.attempt(runtime, some, work, keep=turn > 0)
    finally:
        bench.close_boxes(boxes)
        network.close()
