# SPDX-License-Identifier: Apache-2.0
"""Containers in namespaces that are not theirs alone: sockets of the namespace stand for the guest."""

import json
import unittest

from support.case import core, only, snapshot
from support.network_case import NetworkCase
from testbed.process import run, wait_until
from testbed.traffic import get, name_server


def host_network(run_in):
    """What must not change: links, addresses, routes, rules, packet filters, settings."""
    commands = (["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "route", "show", "table", "all"],
                ["ip", "-6", "route", "show", "table", "all"], ["ip", "rule"], ["ip", "-6", "rule"],
                ["tc", "qdisc"], ["sh", "-c", "nft list ruleset 2>/dev/null || iptables-save"],
                ["sh", "-c", "cat /proc/sys/net/ipv4/conf/*/* /proc/sys/net/ipv4/ip_*"])
    text = []
    for command in commands:
        out = run_in(*command).out
        text += [line.split(" valid_lft")[0].split(" expires ")[0] for line in out.splitlines()]
    return text


class Shared(NetworkCase):
    """A namespace in which somebody lives already."""

    NUMBER = 61

    def shared_namespace(self, number):
        ns = self.new_namespace()
        self.net.add_veth(ns, number)
        bed = self.net.server("sleep", "100000", ns=ns)
        child = bed.__enter__()
        self.addCleanup(bed.__exit__, None, None, None)
        wait_until(lambda: open(f"/proc/{child.pid}/comm").read() == "sleep\n", 10, "sleep")
        self.before = snapshot()
        return ns

    @core
    def test_both_keep_their_network(self):
        ns = self.shared_namespace(61)
        before = host_network(lambda *command: self.net.run(*command, ns=ns))
        with self.net.server("python3", "-m", "http.server", "8000", "--bind", "::",
                             "--directory", self.containerd.base), \
                self.net.server(*name_server(self.net.GATEWAY)):
            self.net.answers(f"http://{self.net.GATEWAY}:8000/config.toml")
            done = self.run_in(
                ns, "ip -o addr show dev eth0", "ip route", "cat /sys/class/net/eth0/mtu",
                get(self.net.GATEWAY, 8000, "/config.toml"),
                get(self.net.GATEWAY6, 8000, "/config.toml"),
                f"nslookup -type=a some.test {self.net.GATEWAY}",
                f"nc -w 5 {self.net.GATEWAY} 8001 </dev/null || echo refused")
        self.assertIn("inet 10.88.0.61/16", done.out, done)
        self.assertIn("inet6 fd88::61/64", done.out)
        self.assertIn(f"default via {self.net.GATEWAY} dev eth0", done.out)
        self.assertIn("\n1500\n", done.out)
        self.assertEqual(done.out.count("version = 2"), 2, done)
        self.assertIn("192.0.2.77", done.out)
        self.assertIn("refused", done.out)
        self.assertEqual(host_network(lambda *command: self.net.run(*command, ns=ns)), before)
        self.assert_clean()


class HostNetwork(NetworkCase):
    """The namespace of containerd itself, as --net=host asks for it."""

    @core
    @only("kata", "runc gives the host's network away")
    def test_the_host_s_network_is_used_and_stays_as_it_is(self):
        def here(*command):
            return run(command, 30)
        before = host_network(here)
        address = here("sh", "-c", "ip -4 -o addr show scope global | awk '{print $4}'").out.split()
        done = self.containerd.run(self.name, self.shell("ip -4 -o addr"), "--rm", "--net-host")
        self.assert_code(done, 0)
        for each in address:
            self.assertIn(f"inet {each}", done.out)
        self.assertEqual(host_network(here), before)
        self.assert_clean()

    @only("kata", "a command of kata-runtime's own")
    def test_kata_runtime_tells_which_way_is_taken(self):
        self.containerd.run_detached(self.name, self.shell("sleep 100000"), "--net-host")
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--network", self.name], 30)
        self.assertIn("  socket  ", done.out, done)
