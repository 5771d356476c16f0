# SPDX-License-Identifier: Apache-2.0
"""Where a sandbox may send to, by frames and by sockets (docs/network.md)."""

import contextlib
import json

from support.case import core, only, snapshot
from support.network_case import NetworkCase
from testbed.process import run, wait_until
from testbed.traffic import HTTPD, get, name_server

ANNOTATION = "io.katacontainers.config.runtime.egress_"
OTHER, OTHER6 = "10.88.0.2", "fd88::2"  # beside the gateway's


class EgressCases:
    """What both ways have in common."""

    numbers = ()

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.net.ip("address", "add", f"{OTHER}/16", "dev", "br0")
        cls.net.ip("-6", "address", "add", f"{OTHER6}/64", "dev", "br0", "nodad")

    def namespace(self):
        """One with eth0, and the last part of its addresses."""
        ns, number = self.new_namespace(), next(self.numbers)
        self.net.add_veth(ns, number)
        self.before = snapshot()
        return ns, number

    def policy(self, deny, allow=""):
        return ["--annotation", f"{ANNOTATION}deny={deny}", "--annotation", f"{ANNOTATION}allow={allow}"]

    @contextlib.contextmanager
    def servers(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.net.server("python3", "-m", "http.server", "8000", "--bind", "::",
                                                "--directory", self.containerd.base))
            for address in (self.net.GATEWAY, self.net.GATEWAY6, OTHER, OTHER6):
                stack.enter_context(self.net.server(*name_server(address)))
            self.net.answers(f"http://{self.net.GATEWAY}:8000/config.toml")
            yield

    def start(self, ns, *lines, flags):
        self.containerd.run_detached(self.name, self.shell(*lines), *self.in_namespace(ns), *flags)

    def denied(self):
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--network", "--json", self.name], 30)
        return json.loads(done.out)[0]["denied"]

    def reaches(self, address):
        """How the container reaches an address: by TCP, UDP and ICMP, all at once since silence takes long."""
        ways = (get(address, 8000, "/config.toml").replace("-w 20", "-w 5") + " | grep -c 'version = 2'",
                f"timeout 8 nslookup -type=a some.test {address} | grep -c 192.0.2.77",
                f"ping -c 1 -W 5 {address} | grep -c 'bytes from'")
        done = self.inside(*(f"({way}) >/tmp/{number} &" for number, way in enumerate(ways)), "wait",
                           "cat /tmp/0 /tmp/1 /tmp/2")
        return [word != "0" for word in done.out.split()]

    @core
    def test_what_is_denied_is_not_reached_and_what_is_allowed_is(self):
        ns, _ = self.namespace()
        with self.servers():
            self.start(ns, "sleep 100000", flags=self.policy(f"{OTHER}; {OTHER6}/128"))
            self.assertEqual(self.reaches(self.net.GATEWAY), [True] * 3)
            self.assertEqual(self.reaches(self.net.GATEWAY6), [True] * 3)
            self.assertEqual(self.denied(), {"packets": 0, "connections": 0})
            self.assertEqual(self.reaches(OTHER), [False] * 3)
            first = self.denied()
            self.assertGreaterEqual(first["packets"], 3)
            self.assertGreaterEqual(first["connections"], 1)
            self.assertEqual(self.reaches(OTHER6), [False] * 3)
            self.assertGreaterEqual(self.denied()["packets"], first["packets"] + 3)
            metrics = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--network", self.name], 30).out
            self.assertIn("DENIED", metrics)

    def test_of_a_host_a_port_is_allowed_and_all_else_is_not(self):
        ns, _ = self.namespace()
        with self.servers():
            self.start(ns, "sleep 100000", flags=self.policy(
                "0.0.0.0/0;::/0", f"{self.net.GATEWAY} 8000/tcp; {self.net.GATEWAY6} 53/udp; {OTHER} icmp"))
            self.assertEqual(self.reaches(self.net.GATEWAY), [True, False, False])
            self.assertEqual(self.reaches(self.net.GATEWAY6), [False, True, False])
            self.assertEqual(self.reaches(OTHER), [False, False, True])

    def test_who_connects_is_answered_whatever_is_denied(self):
        ns, number = self.namespace()
        self.start(ns, HTTPD, flags=self.policy("0.0.0.0/0;::/0"))
        for address in (f"10.88.0.{number}", f"[fd88::{number}]"):
            self.assertIn("hello from", self.net.answers(f"http://{address}/"), address)

    def test_text_that_is_no_policy_is_told(self):
        ns, _ = self.namespace()
        for deny, words in (("10.0.0.0/33", "10.0.0.0/33"), ("example.com 443/tcp", "CIDR"),
                            ("10.0.0.0/8 99999/tcp", "99999/tcp")):
            done = self.containerd.run(self.name, ["true"], *self.in_namespace(ns), *self.policy(deny))
            self.assertNotEqual(done.code, 0)
            self.assertIn("egress_deny", done.err)
            self.assertIn(words, done.err)
            self.containerd.remove(self.name)
        self.assert_clean()


@only("kata", "runc has no such policy")
class EgressOfFrames(EgressCases, NetworkCase):
    numbers = iter(range(71, 80))

    def test_a_macvtap_is_guarded_too(self):
        ns, _ = self.namespace()
        with self.servers():
            self.start(ns, "sleep 100000", flags=[
                *self.policy(f"{OTHER}; {OTHER6}"),
                "--annotation", "io.katacontainers.config.runtime.internetworking_model=macvtap"])
            self.assertEqual(self.reaches(self.net.GATEWAY), [True] * 3)
            self.assertEqual(self.reaches(OTHER6), [False] * 3)
            self.assertGreaterEqual(self.denied()["packets"], 3)

    def test_an_interface_that_comes_later_is_guarded_too(self):
        ns, _ = self.namespace()
        self.start(ns, "sleep 100000", flags=self.policy("192.0.2.1"))
        self.net.add_veth(ns, 81, name="net1", bridge=None, addresses=("192.0.2.9/24",))
        for address in ("192.0.2.1/24", "192.0.2.2/24"):
            self.net.ip("address", "add", address, "dev", "net1p81")
        self.wait_inside("ping -c 1 -W 5 192.0.2.2", "bytes from")
        self.assertNotIn("bytes from", self.inside("ping -c 1 -W 3 192.0.2.1").out)
        # One that has gone and comes again.
        self.net.ip("link", "delete", "net1p81")
        wait_until(lambda: "net1" not in self.inside("ls /sys/class/net").out, 20, "net1 goes")
        self.net.add_veth(ns, 82, name="net1", bridge=None, addresses=("192.0.2.9/24",))
        for address in ("192.0.2.1/24", "192.0.2.2/24"):
            self.net.ip("address", "add", address, "dev", "net1p82")
        self.wait_inside("ping -c 1 -W 5 192.0.2.2", "bytes from")
        self.assertNotIn("bytes from", self.inside("ping -c 1 -W 3 192.0.2.1").out)


@only("kata", "runc has no such policy")
class EgressOfSockets(EgressCases, NetworkCase):
    """The namespace is shared with others."""

    numbers = iter(range(91, 99))

    def namespace(self):
        ns, number = super().namespace()
        bed = self.net.server("sleep", "100000", ns=ns)
        child = bed.__enter__()
        self.addCleanup(bed.__exit__, None, None, None)
        wait_until(lambda: open(f"/proc/{child.pid}/comm").read() == "sleep\n", 10, "sleep")
        self.before = snapshot()
        return ns, number

    def test_the_namespace_s_loopback_is_a_destination_too(self):
        ns, _ = self.namespace()
        with self.net.server("python3", "-m", "http.server", "8000", "--bind", "127.0.0.1",
                             "--directory", self.containerd.base, ns=ns):
            with self.net.server("python3", "-m", "http.server", "8001", "--bind", "127.0.0.1",
                                 "--directory", self.containerd.base, ns=ns):
                self.start(ns, "sleep 100000", flags=self.policy("127.0.0.0/8 8001/tcp"))
                self.wait_inside(get("127.0.0.1", 8000, "/config.toml"), "version = 2")
                done = self.inside(get("127.0.0.1", 8001, "/config.toml").replace("nc -w 20", "timeout 8 nc"))
                self.assertNotIn("version = 2", done.out)
