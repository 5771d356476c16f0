# SPDX-License-Identifier: Apache-2.0
"""What a container's network costs: TCP into a guest through our path, and through a bare tap.

Both guests are alike. One has a veth on a bridge, which is how Docker and CNI connect; the other has a
tap that leads straight to the sender, which is the best that the VMM can do.
"""

import os
import signal
import statistics
import sys

from support.network import Network

PORT = 5001
SERVER = f"while :; do nc -l -p {PORT} >/dev/null; done"
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


def throughput(net, ns, peer, seconds):
    done = net.run("python3", "-c", SENDER, peer, seconds, ns=ns, timeout=120)
    if done.code != 0:
        raise SystemExit(f"kata-bench: {done}")
    return float(done.out)


def start(bed, net, ns, name):
    bed.run_detached(name, ["sh", "-c", SERVER], "--with-ns", f"network:{net.path(ns)}")


def measure(bed, runtime, runs, seconds=4):
    """{figure: MiB/s or ratio}; `bed` is a running containerd with the image."""
    bed.runtime = runtime
    net = Network(bed.base, bed.token)
    try:
        veth, tap = net.new_namespace(), net.new_namespace()
        net.add_veth(veth, 2)
        start(bed, net, veth, "net-veth")
        net.ip("tuntap", "add", "eth0", "mode", "tap", "vnet_hdr", ns=tap)
        net.ip("address", "add", "192.0.2.2/24", "dev", "eth0", ns=tap)
        net.ip("link", "set", "eth0", "up", ns=tap)
        start(bed, net, tap, "net-tap")
        # The interface changes sides: the shim must not follow that.
        shim = runtime.shim_pid(bed, "net-tap")
        os.kill(shim, signal.SIGSTOP)
        try:
            net.ip("address", "flush", "dev", "eth0", ns=tap)
            net.ip("address", "add", "192.0.2.1/24", "dev", "eth0", ns=tap)
            rates = {"veth": [], "tap": []}
            for _ in range(runs):
                rates["veth"].append(throughput(net, None, "10.88.0.2", seconds))
                rates["tap"].append(throughput(net, tap, "192.0.2.2", seconds))
                print(".", end="", file=sys.stderr, flush=True)
        finally:
            os.kill(shim, signal.SIGCONT)
        print(file=sys.stderr)
        for name in ("net-veth", "net-tap"):
            bed.remove(name)
    finally:
        net.destroy()
    ours, bare = (statistics.median(rates[name]) for name in ("veth", "tap"))
    return {"tcp_into_guest_mib_s": round(ours, 1), "tcp_into_guest_bare_tap_mib_s": round(bare, 1),
            "tcp_ratio_to_bare_tap": round(ours / bare, 2)}
