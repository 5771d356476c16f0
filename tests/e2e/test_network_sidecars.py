# SPDX-License-Identifier: Apache-2.0
"""Sandboxes that share a namespace with a sidecar, and many that share the host's."""

import unittest

from support.case import only
from support.network_case import NetworkCase
from testbed.process import run, wait_until
from testbed.traffic import HTTPD, get, name_server

# Every page of this server is the same.
SAME_PAGE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"filtered\\n")
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
"""
# What a VPN's client does: packets of a tun device come out of another one, in another namespace.
CARRIER = """
import ctypes, fcntl, os, select, struct, sys
def tun(path):
    ns = os.open(path, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(ns, 0x40000000): raise OSError("setns")
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tun0", 0x1001))
    return fd
one, other = tun(sys.argv[1]), tun(sys.argv[2])
while True:
    for fd in select.select([one, other], [], [])[0]:
        data = os.read(fd, 65536)
        try: os.write(other if fd == one else one, data)
        except OSError: pass  # it is not up yet
"""
# Connects so often, one after the other, and says how often somebody answered.
CALLER = """
import socket, sys
answers = 0
for _ in range(int(sys.argv[3])):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as s:
        answers += s.recv(16) == b"short\\n"
print(answers)
"""
# Says a word to everybody who connects, and hangs up.
SHORT = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=512)
while True:
    with server.accept()[0] as s: s.sendall(b"short\\n")
"""
# Sends so many MiB to an echo, and says whether all came back as it was.
MUCH = """
import hashlib, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20); s.settimeout(300)
block, sent, got, size = bytes(range(256)) * 4096, hashlib.md5(), hashlib.md5(), 0
def send():
    for i in range(int(sys.argv[3])):
        data = i.to_bytes(4, "big") + block[4:]
        s.sendall(data); sent.update(data)
    s.shutdown(socket.SHUT_WR)
sender = threading.Thread(target=send); sender.start()
while data := s.recv(1 << 20): got.update(data); size += len(data)
sender.join()
print(size >> 20, sent.digest() == got.digest())
"""


class SidecarCase(NetworkCase):
    def python(self, script, *arguments, ns=None):
        """A program of a few lines in the namespace, until the test ends."""
        return self.enterContext(self.net.server("python3", "-c", script, *map(str, arguments), ns=ns))

    def shared_namespace(self, number):
        ns = self.new_namespace()
        self.net.add_veth(ns, number)
        self.enterContext(self.net.inhabitant(ns))
        return ns


class Filters(SidecarCase):
    """The rules of a sidecar apply to what the sandbox sends."""

    def redirect(self, ns):
        for protocol, port, to in (("tcp", 80, 8080), ("udp", 53, 5300)):
            done = self.net.run("iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", protocol, "--dport",
                                str(port), "-j", "REDIRECT", "--to-ports", str(to), ns=ns)
            if done.code != 0:
                raise unittest.SkipTest(f"this kernel has no such rules: {done.err}")

    def serve(self, ns):
        self.python(SAME_PAGE, 8080, ns=ns)
        # Who is sent there listens there, to answer from there.
        server = name_server("127.0.0.1")
        self.enterContext(self.net.server(*server[:-1], server[-1].replace(", 53)", ", 5300)"), ns=ns))

    def assert_filtered(self):
        self.wait_inside(get("192.0.2.9"), "filtered")
        self.wait_inside("nslookup -type=a some.test 192.0.2.53", "192.0.2.77")

    def test_a_sidecar_that_starts_first(self):
        ns = self.shared_namespace(71)
        self.redirect(ns)
        self.serve(ns)
        self.start_in(ns, "sleep 100000")
        self.assert_filtered()

    def test_a_sidecar_that_starts_last_and_again(self):
        ns = self.shared_namespace(72)
        self.start_in(ns, "sleep 100000")
        for _ in range(2):
            self.redirect(ns)
            with self.net.server("python3", "-c", SAME_PAGE, "8080", ns=ns):
                self.wait_inside(get("192.0.2.9"), "filtered")
            self.assertEqual(self.inside(get("192.0.2.9")).out, "", "nobody answers any more")
            self.net.run("iptables", "-w", "-t", "nat", "-F", "OUTPUT", ns=ns)
        self.assertEqual(self.containerd.status(self.name), "RUNNING")

    def test_a_tunnel_of_the_sidecar_carries_what_the_sandbox_sends(self):
        near, far = self.shared_namespace(73), self.new_namespace()
        self.python(CARRIER, self.net.path(near), self.net.path(far))
        for ns, own in ((near, "10.66.0.1"), (far, "10.66.0.2")):
            wait_until(lambda ns=ns: self.net.run("ip", "link", "show", "tun0", ns=ns).code == 0, 20, "tun0")
            self.net.ip("address", "add", f"{own}/24", "dev", "tun0", ns=ns)
            self.net.ip("link", "set", "tun0", "up", ns=ns)
            self.net.ip("link", "set", "lo", "up", ns=ns)
        self.net.ip("address", "add", "203.0.113.5/32", "dev", "lo", ns=far)
        self.net.ip("route", "add", "203.0.113.0/24", "via", "10.66.0.2", ns=near)
        self.python(SAME_PAGE, 80, ns=far)
        self.start_in(near, "sleep 100000")
        self.wait_inside(get("203.0.113.5"), "filtered")


class Loads(SidecarCase):
    def await_port(self, ns, port):
        wait_until(lambda: f":{port} " in self.net.run("ss", "-tlnH", ns=ns).out, 60, f"port {port}")

    def test_a_thousand_short_connections_each_way(self):
        ns = self.shared_namespace(74)
        self.python(SHORT, self.net.GATEWAY, 5001)
        self.start_in(ns, "nc -ll -p 5002 -e echo short")
        self.await_port(ns, 5002)
        done = self.net.run("python3", "-c", CALLER, "10.88.0.74", "5002", "1000", timeout=300)
        self.assertEqual(done.out, "1000\n", done)
        done = self.inside(f"for i in $(seq 1000); do nc -w 20 {self.net.GATEWAY} 5001 </dev/null; done "
                           "| grep -c short")
        self.assertEqual(done.out, "1000\n", done)

    def test_a_gibibyte_arrives_whole_each_way(self):
        ns = self.shared_namespace(75)
        self.start_in(ns, "nc -ll -p 5001 -e cat")
        self.await_port(ns, 5001)
        done = self.net.run("python3", "-c", MUCH, "10.88.0.75", "5001", "1024", timeout=580)
        self.assertEqual(done.out, "1024 True\n", done)


class ManyOfTheHost(NetworkCase):
    @only("kata", "runc gives the host's network away")
    def test_twenty_sandboxes_at_once_with_different_ports(self):
        def network():
            return [run(["ip", *words.split()], 30).out
                    for words in ("-o link", "-4 -o addr", "route show table all", "rule")]
        before = network()
        ports = range(18300, 18320)
        for port in ports:
            self.containerd.run_detached(f"{self.name}-{port}",
                                         self.shell(HTTPD.replace("-p 80", f"-p {port}")), "--net-host")
        for port in ports:
            wait_until(lambda port=port: "hello from" in
                       run(["curl", "-sS", f"http://127.0.0.1:{port}/"], 30).out, 60, f"port {port}")
        self.assertEqual(network(), before)
        self.containerd.remove_all()
        wait_until(lambda: ":183" not in run(["ss", "-tlnH"], 30).out, 20, "no listener")
        self.assertEqual(network(), before)
        self.assert_clean()
