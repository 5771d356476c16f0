# SPDX-License-Identifier: Apache-2.0
"""ipvlan in its layer 3 modes: no ARP, the hardware address of its parent, the parent's routes."""

import unittest

from support.case import only
from support.network_case import NetworkCase


@only("kata", "how a virtual machine is connected")
class Ipvlan(NetworkCase):
    def new_ipvlan(self, mode):
        """A namespace with an ipvlan on a veth of the host's part, at whose other end a third one is."""
        ns, far = self.new_namespace(), self.new_namespace()
        self.net.ip("link", "add", "l0", "type", "veth", "peer", "name", "eth9", "netns", far)
        self.net.ip("link", "set", "l0", "up")
        self.addCleanup(self.net.ip, "link", "delete", "l0")
        done = self.net.run("ip", "link", "add", "eth0", "link", "l0", "netns", ns, "type", "ipvlan",
                            "mode", mode)
        if "Unknown device type" in done.err:
            self.skipTest("this host's kernel has no ipvlan")
        self.net.ip("address", "add", "192.0.2.5/24", "dev", "l0")
        self.net.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.net.ip("address", "add", "192.0.2.1/24", "dev", "eth9", ns=far)
        self.net.ip("link", "set", "eth9", "up", ns=far)
        self.net.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.5", ns=far)
        self.net.ip("address", "add", "198.51.100.2/32", "dev", "eth0", ns=ns)
        self.net.ip("link", "set", "eth0", "up", ns=ns)
        self.net.ip("route", "add", "default", "dev", "eth0", ns=ns)
        return ns

    def test_mode_l3_is_routed_by_the_host(self):
        ns = self.new_ipvlan("l3")
        before = self.net.state(ns)
        done = self.run_in(ns, "ping -c 3 -W 20 192.0.2.1 | grep -c 'bytes from'",
                           "ip link show eth0")
        self.assertEqual(done.out.splitlines()[0], "3", done)
        self.assertIn("NOARP", done.out)
        self.assertEqual(self.net.state(ns), before)

    def test_mode_l3s_is_refused_with_the_remedy(self):
        ns = self.new_ipvlan("l3s")
        before = self.net.state(ns)
        done = self.run_in(ns, "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("ipvlan of mode l3s", done.err)
        self.assertIn("mode l3 or l2", done.err)
        self.assertEqual(self.net.state(ns), before)
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
