# SPDX-License-Identifier: Apache-2.0
"""What a container's network costs: by frames, by sockets, through a bare tap, and with runc.

Four containers serve the same. Two in VMs and one of runc have a veth on a bridge, which is how Docker
and CNI connect; one of the two shares its namespace with somebody, so that it is used by sockets. The
last VM has a tap that leads straight to the client, which is the best that the VMM can do. The clients
take turns, so that what else the machine does falls on all of them.
"""

import os
import re
import signal
import statistics
import sys

from testbed.network import Network

PORT = 5001
SERVER = (f"mkdir -p /www; echo hello > /www/index.html; httpd -p 80 -h /www; "
          f"while :; do nc -l -p {PORT} >/dev/null; done")
# Prints the MiB/s of a connection over some seconds.
SENDER = """
import socket, sys, time
peer, seconds = sys.argv[1], float(sys.argv[2])
for _ in range(200):
    try:
        s = socket.create_connection((peer, %d), 5)
        break
    except OSError:
        time.sleep(0.1)
data, sent, begin = b"x" * (1 << 17), 0, time.monotonic()
while time.monotonic() < begin + seconds:
    sent += s.send(data)
print(sent / (time.monotonic() - begin) / 2**20)
""" % PORT
REQUESTS = 50  # one after the other, each a curl
CONNECTIONS = 8  # at a time


class Client:
    """What talks to one of the containers: from the namespace `ns` to the address `peer`."""

    def __init__(self, net, ns, peer, wrk):
        self.net, self.ns, self.peer, self.wrk = net, ns, peer, wrk

    def run(self, *command):
        done = self.net.run(*command, ns=self.ns, timeout=300)
        if done.code != 0:
            raise SystemExit(f"kata-bench: {done}")
        return done.out

    def throughput(self, seconds):
        return float(self.run("python3", "-c", SENDER, self.peer, seconds))

    def request_rate(self, seconds):
        """(requests a second, median latency in ms) of connections that wrk keeps busy."""
        out = self.run(*self.wrk, "-t", 1, "-c", CONNECTIONS, "-d", f"{seconds}s", "--latency",
                       f"http://{self.peer}/")
        value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)\b", out).groups()
        scale = {"us": 0.001, "ms": 1, "s": 1000}[unit]
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), float(value) * scale

    def latency(self):
        """Median ms of requests by a curl each, connection included."""
        # curl starts once: what is measured is the network, not the start of a program.
        out = self.run("curl", "-sS", "--no-keepalive", "-H", "Connection: close", "-w",
                       "time %{time_total}\n", *[f"http://{self.peer}/"] * REQUESTS)
        return 1000 * statistics.median(map(float, re.findall(r"time ([\d.]+)", out)))


def start(bed, net, ns, name):
    bed.run_detached(name, ["sh", "-c", SERVER], "--with-ns", f"network:{net.path(ns)}")


def give_tap(net):
    ns = net.new_namespace()
    net.ip("tuntap", "add", "eth0", "mode", "tap", "vnet_hdr", ns=ns)
    net.ip("address", "add", "192.0.2.2/24", "dev", "eth0", ns=ns)
    net.ip("link", "set", "eth0", "up", ns=ns)
    return ns


def give_veth(net, number):
    ns = net.new_namespace()
    net.add_veth(ns, number)
    return ns


def rounds(clients, runs, seconds):
    """{(client, figure): [a number of each run]}"""
    figures = {}
    for _ in range(runs):
        for name, client in clients.items():
            rate, busy = client.request_rate(seconds)
            for figure, value in (("tcp", client.throughput(seconds)), ("rate", rate),
                                  ("busy", busy), ("latency", client.latency())):
                figures.setdefault((name, figure), []).append(value)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {key: statistics.median(values) for key, values in figures.items()}


def report(figures):
    """The medians with their units in their names, and the ratios in which more is better."""
    rows = {}
    for figure, title, digits in (("tcp", "tcp_into_guest{}_mib_s", 1),
                                  ("rate", "http_requests{}_per_s", 1),
                                  ("busy", "http_busy_median{}_ms", 2),
                                  ("latency", "http_single_median{}_ms", 2)):
        ours = figures["veth", figure]
        less_is_better = figure in ("busy", "latency")

        def ratio(one, other):
            return round(other / one if less_is_better else one / other, 2)
        for name, word in (("veth", ""), ("sockets", "_by_sockets"), ("tap", "_bare_tap"),
                           ("runc", "_runc")):
            rows[title.format(word)] = round(figures[name, figure], digits)
        for name, word in (("tap", "bare_tap"), ("runc", "runc")):
            rows[f"{figure}_ratio_to_{word}"] = ratio(ours, figures[name, figure])
        rows[f"{figure}_ratio_of_sockets_to_frames"] = ratio(figures["sockets", figure], ours)
    return rows


def measure(bed, kata, runc, wrk, runs, seconds=4):
    """{figure: number}; `bed` is a running containerd with the image, `wrk` how to call that program."""
    net = Network(bed.base, bed.token)
    try:
        bed.runtime = kata
        start(bed, net, give_veth(net, 2), "net-veth")
        shared = give_veth(net, 4)
        with net.inhabitant(shared):
            start(bed, net, shared, "net-sockets")
        tap = give_tap(net)
        start(bed, net, tap, "net-tap")
        bed.runtime = runc
        start(bed, net, give_veth(net, 3), "net-runc")
        # The interface changes sides: the shim must not follow that.
        shim = kata.shim_pid(bed, "net-tap")
        os.kill(shim, signal.SIGSTOP)
        try:
            net.ip("address", "flush", "dev", "eth0", ns=tap)
            net.ip("address", "add", "192.0.2.1/24", "dev", "eth0", ns=tap)
            clients = {"veth": Client(net, None, "10.88.0.2", wrk),
                       "sockets": Client(net, None, "10.88.0.4", wrk),
                       "tap": Client(net, tap, "192.0.2.2", wrk),
                       "runc": Client(net, None, "10.88.0.3", wrk)}
            for client in clients.values():
                net.answers(f"http://{client.peer}/", ns=client.ns)
            figures = rounds(clients, runs, seconds)
        finally:
            os.kill(shim, signal.SIGCONT)
        for name in ("net-veth", "net-sockets", "net-tap", "net-runc"):
            bed.remove(name)
    finally:
        net.destroy()
    return report(figures)
