# SPDX-License-Identifier: Apache-2.0
"""A container that sends what nobody should (tests/programs/hostile.c), and its neighbours.

All of it stays on the bridge of the tests' own namespace, and ends after seconds or thousands of frames.
"""

import json
import subprocess
import time
import unittest

from support.network_case import NetworkCase
from testbed.process import wait_until

HTTPD = "mkdir -p /www; echo hello from $(hostname) > /www/index.html; httpd -f -p 80 -h /www"
SECONDS = 3


class Hostile(NetworkCase):
    kept = ("evil", "one", "two")
    addresses = {"evil": "10.88.0.91", "one": "10.88.0.92", "two": "10.88.0.93"}

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        program = cls.compiled("hostile")
        cls.namespaces = {}
        for name, address in cls.addresses.items():
            ns = cls.namespaces[name] = cls.net.new_namespace()
            cls.net.add_veth(ns, int(address.rsplit(".", 1)[1]))
            cls.containerd.run_detached(
                name, ["sh", "-c", HTTPD], "--privileged", "--mount",
                f"type=bind,src={program},dst=/hostile,options=rbind:ro", "--with-ns",
                f"network:{cls.net.path(ns)}")
        cls.mac = json.loads(cls.net.ip("-j", "link", "show", "eth0",
                                        ns=cls.namespaces["one"]))[0]["address"]

    def reach(self, client, server):
        request = (f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | "
                   f"nc -w 10 {self.addresses[server]} 80")
        return "hello from" in self.inside(request, name=client).out

    def attack(self, mode, seconds=SECONDS):
        """The program in the container "evil", at work."""
        child = self.containerd.popen(
            *self.containerd.exec_arguments("evil", ["/hostile", mode, "eth0", self.mac,
                                                     self.addresses["one"], str(seconds)]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = child.stdout.readline()
        if line != "begin\n":
            self.fail(f"hostile: {line}{child.communicate()[0]}")
        return child

    def states(self):
        return {name: self.net.state(ns) for name, ns in
                [*self.namespaces.items(), ("host", self.net.host)]}

    def run_attack(self, mode, during):
        for pair in (("one", "two"), ("two", "one")):
            wait_until(lambda: self.reach(*pair), 60, lambda: f"{pair} reach each other")
        before = self.states()
        with self.background(self.attack(mode)) as child:
            if during:
                self.assertTrue(self.reach("one", "two"), mode)
                self.assertTrue(self.reach("two", "one"), mode)
            out, _ = child.communicate(timeout=SECONDS + 60)
            self.assertEqual(child.returncode, 0, out)
            self.assertRegex(out, r"(?m)^[1-9][0-9]* taken, [0-9]+ refused$")
        for client in self.addresses:
            for server in self.addresses:
                if client != server:
                    wait_until(lambda: self.reach(client, server), 60,
                               lambda: f"after {mode} {client} reaches {server}")
        self.assertEqual(self.states(), before)

    def test_spoofed_hardware_addresses(self):
        self.run_attack("macs", during=True)

    def test_the_identity_of_another_one_is_its_own_again_afterwards(self):
        # As long as it lasts, the bridge believes whoever spoke last, with every runtime.
        self.run_attack("identity", during=False)

    def test_giant_frames_and_senseless_offloads(self):
        self.run_attack("giant", during=True)

    def test_wrong_checksums_lengths_and_options(self):
        self.run_attack("checksums", during=True)

    def test_a_storm_of_broadcasts(self):
        self.run_attack("storm", during=True)

    def test_a_flood_does_not_stall_others(self):
        wait_until(lambda: self.reach("two", "evil"), 60, "all of them serve")
        with self.background(self.attack("flood", seconds=8)) as child:
            begin = time.monotonic()
            # A third one, and the one that the flood is for.
            self.assertTrue(self.reach("two", "evil"))
            self.assertTrue(self.reach("two", "one"))
            took = time.monotonic() - begin
            running = child.poll() is None
            out, _ = child.communicate(timeout=90)
            self.assertEqual(child.returncode, 0, out)
        self.assertTrue(running, f"{took:.1f} s for two answers; {out}")


if __name__ == "__main__":
    unittest.main()
