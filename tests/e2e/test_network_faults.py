# SPDX-License-Identifier: Apache-2.0
"""Networks that are not as they should be: things that vanish, are doubled, or are not allowed."""

import json
import threading
import unittest

from support.case import only
from support.network_case import EarlyNetworkCase, NetworkCase
from testbed.process import wait_until


@only("kata", "runc's container lives in the namespace itself")
class Vanishing(NetworkCase):
    def come_and_go(self, ns, stop):
        """Adds and deletes interfaces until `stop` is set, a few hundred times at most."""
        self.rounds = 0
        for number in range(300):
            if stop.is_set():
                return
            port = self.net.add_veth(ns, 210 + number % 20, name=f"eth{1 + number % 3}", bridge=None,
                                     addresses=(f"192.0.2.{1 + number % 20}/24",))
            self.net.ip("link", "delete", port)
            self.rounds += 1

    def test_interfaces_may_come_and_go_while_sandboxes_start_and_end(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 201)
        before = (self.net.state(ns), self.net.state(self.net.host))
        stop = threading.Event()
        storm = threading.Thread(target=self.come_and_go, args=(ns, stop))
        storm.start()
        try:
            for number in range(3):
                done = self.run_in(ns, f"ping -c 2 -W 20 {self.net.GATEWAY} | grep -c 'bytes from'",
                                   name=f"{self.name}-{number}")
                self.assert_output(done, "2\n")
        finally:
            stop.set()
            storm.join()
        self.assertGreater(self.rounds, 3)
        self.assertEqual((self.net.state(ns), self.net.state(self.net.host)), before)
        self.assert_clean()

    def test_a_container_ends_well_without_its_namespaces_name(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 202)
        self.start_in(ns, "sleep 100000")
        self.net.remove_namespace(ns)
        # The namespace itself lives as long as the machine in it.
        self.assertIn("bytes from", self.inside(f"ping -c 1 -W 20 {self.net.GATEWAY}").out)
        self.containerd.remove(self.name)
        wait_until(lambda: "eth0p202" not in self.net.ip("-o", "link"), 20, "the interface is gone")


class Doubled(NetworkCase):
    def test_two_interfaces_may_have_one_hardware_address(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 203)
        self.net.add_veth(ns, 204, name="eth1", bridge=None, addresses=("192.0.2.2/24",))
        self.net.ip("address", "add", "192.0.2.1/24", "dev", "eth1p204")
        mac = json.loads(self.net.ip("-j", "link", "show", "eth0", ns=ns))[0]["address"]
        self.net.ip("link", "set", "eth1", "address", mac, ns=ns)
        done = self.run_in(ns, "cat /sys/class/net/eth0/address /sys/class/net/eth1/address",
                           f"ping -c 1 -W 20 {self.net.GATEWAY} | grep 'bytes from'",
                           "ping -c 1 -W 20 192.0.2.1 | grep 'bytes from'")
        self.assertEqual(done.out.count(f"{mac}\n"), 2, done)
        self.assertEqual(done.out.count("bytes from"), 2, done)


@only("kata", "runc needs no tap")
class NotAllowed(EarlyNetworkCase):
    number = 205
    prelude = 'set -- setpriv --bounding-set=-net_admin "$@"'

    def test_without_net_admin_the_error_says_so(self):
        before = self.net.state(self.ns)
        done = self.run_in(self.ns, "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("CAP_NET_ADMIN", done.err)
        self.assertEqual(self.net.state(self.ns), before)
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
