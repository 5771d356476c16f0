# SPDX-License-Identifier: Apache-2.0
"""Routing beyond one gateway: routes with several ways, other tables, policy rules."""

import unittest

from support.case import only
from support.network_case import NetworkCase
from testbed.process import wait_until

# How many of these packets take either of two ways is a matter of chance: with 40 of them, fewer than
# 8 on one way are seen once in 100,000 times.
TARGETS, FEWEST = 40, 8


class Routing(NetworkCase):
    def two_ways(self, number):
        """A namespace with net1 and net2, each straight to a router of its own in the host's part."""
        ns = self.new_namespace()
        for name in ("net1", "net2"):
            net = f"{number}{name[-1]}"
            port = self.net.add_veth(ns, number, name=name, bridge=None,
                                     addresses=(f"10.{net}.0.2/24", f"fd{net}::2/64"))
            self.net.ip("address", "add", f"10.{net}.0.1/24", "dev", port)
            self.net.ip("address", "add", f"fd{net}::1/64", "dev", port, "nodad")
        return ns

    def spread(self, command, targets):
        """Lines that ping the targets and print how many packets net1 and net2 have sent meanwhile."""
        count = "cat /sys/class/net/net1/statistics/tx_packets /sys/class/net/net2/statistics/tx_packets"
        return [f"before=$({count})",
                f"for n in $(seq {TARGETS}); do {command} -c 1 -W 5 {targets}$n >/dev/null & done",
                "wait", f"echo $before $({count})"]

    def assert_spread(self, line):
        first, second, first_after, second_after = map(int, line.split())
        self.assertGreaterEqual(first_after - first, FEWEST, line)
        self.assertGreaterEqual(second_after - second, FEWEST, line)

    def test_routes_with_several_gateways_share_the_packets(self):
        ns = self.two_ways(4)
        for n in range(1, TARGETS + 1):
            self.net.ip("address", "add", f"198.51.100.{n}/32", "dev", "lo")
            self.net.ip("address", "add", f"2001:db8:7::{n}/128", "dev", "lo", "nodad")
        self.net.ip("route", "add", "198.51.100.0/24", "nexthop", "via", "10.41.0.1",
                    "nexthop", "via", "10.42.0.1", ns=ns)
        self.net.ip("-6", "route", "add", "2001:db8:7::/64", "nexthop", "via", "fd41::1",
                    "nexthop", "via", "fd42::1", ns=ns)
        before = self.net.state(ns)
        # Routers that were never met make packets wait, and some of many get lost. Of IPv6, the guest's
        # kernel takes no way to such a one at all without CONFIG_IPV6_ROUTER_PREF.
        meet = [f"ping -c 1 -W 20 {router} >/dev/null"
                for router in ("10.41.0.1", "10.42.0.1", "fd41::1", "fd42::1")]
        done = self.run_in(ns, *meet, *self.spread("ping", "198.51.100."),
                           *self.spread("ping -6", "2001:db8:7::"))
        self.assert_code(done, 0)
        for line in done.out.splitlines()[-2:]:
            self.assert_spread(line)
        self.assertEqual(self.net.state(ns), before)

    def test_rules_and_their_tables_are_those_of_the_namespace(self):
        ns = self.two_ways(5)
        self.net.ip("address", "add", "203.0.113.1/32", "dev", "lo")
        self.net.ip("address", "add", "2001:db8:8::1/128", "dev", "lo", "nodad")
        # Only the other table knows the way.
        self.net.ip("route", "add", "203.0.113.0/24", "via", "10.52.0.1", "table", "300", ns=ns)
        self.net.ip("-6", "route", "add", "2001:db8:8::/64", "via", "fd52::1", "table", "300", ns=ns)
        for family, target in (("-4", "203.0.113.0/24"), ("-6", "2001:db8:8::/64")):
            self.net.ip(family, "rule", "add", "to", target, "priority", "100", "lookup", "300", ns=ns)
            self.net.ip(family, "rule", "add", "fwmark", "0x7/0xff", "priority", "200", "prohibit", ns=ns)
        self.start_in(ns, "sleep 100000")
        done = self.inside("ip rule", "ip -6 rule", "ip route show table 300",
                           "ping -c 1 -W 20 203.0.113.1 | grep 'bytes from'",
                           "ping -6 -c 1 -W 20 2001:db8:8::1 | grep 'bytes from'")
        for text in ("from all to 203.0.113.0/24 lookup 300", "from all to 2001:db8:8::/64 lookup 300",
                     "fwmark 0x7/0xff", "203.0.113.0/24 via 10.52.0.1 dev net2",
                     "bytes from 203.0.113.1", "bytes from 2001:db8:8::1"):
            self.assertIn(text, done.out, done)

    @only("kata", "runc's container lives in the namespace itself")
    def test_rules_that_come_and_go_are_followed(self):
        ns = self.two_ways(6)
        self.start_in(ns, "sleep 100000")
        plain = self.inside("ip rule").out
        self.net.ip("route", "add", "203.0.113.0/24", "via", "10.62.0.1", "table", "300", ns=ns)
        self.net.ip("rule", "add", "to", "203.0.113.0/24", "priority", "100", "lookup", "300", ns=ns)
        self.wait_inside("ip rule", "lookup 300")
        self.wait_inside("ip route show table 300", "203.0.113.0/24 via 10.62.0.1")
        self.net.ip("rule", "delete", "priority", "100", ns=ns)
        wait_until(lambda: self.inside("ip rule").out == plain, 30,
                   lambda: f"the rules are as they were: {self.inside('ip rule')}")
        wait_until(lambda: self.inside("ip route show table 300").out == "", 30, "the table is empty")


if __name__ == "__main__":
    unittest.main()
