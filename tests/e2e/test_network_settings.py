# SPDX-License-Identifier: Apache-2.0
"""Sysctls of a container's network are those of its namespace, as with runc (docs/network.md)."""

from support.case import core, only, snapshot
from support.network_case import NetworkCase
from support.spec import SpecRunner
from testbed.process import wait_until

# What somebody sets, and what follows from it.
SET = {"ipv4/ip_forward": "1", "ipv4/ip_local_port_range": "20000\t30000",
       "ipv4/ip_unprivileged_port_start": "80", "ipv4/ping_group_range": "0\t2147483647",
       "ipv4/tcp_keepalive_time": "600", "core/somaxconn": "500", "ipv4/tcp_ecn": "1",
       "ipv4/conf/all/rp_filter": "1", "ipv4/conf/default/arp_notify": "1",
       "ipv4/conf/eth0/rp_filter": "2", "ipv4/conf/eth0/arp_ignore": "1",
       "ipv4/conf/eth0/accept_redirects": "0", "ipv4/conf/lo/route_localnet": "1",
       "ipv6/conf/all/forwarding": "1", "ipv6/conf/eth0/accept_ra": "2",
       "ipv6/conf/eth0/accept_dad": "0", "ipv6/conf/default/use_tempaddr": "2"}
# Looked at besides.
OTHERS = ["ipv4/conf/all/forwarding", "ipv4/conf/default/forwarding", "ipv4/conf/eth0/forwarding",
          "ipv4/conf/lo/forwarding", "ipv4/conf/default/rp_filter", "ipv4/conf/eth0/arp_notify",
          "ipv4/conf/eth0/send_redirects", "ipv4/tcp_fin_timeout", "ipv4/ip_default_ttl",
          "ipv6/conf/all/disable_ipv6", "ipv6/conf/eth0/disable_ipv6", "ipv6/conf/eth0/forwarding",
          "ipv6/conf/eth0/autoconf", "ipv6/conf/lo/disable_ipv6", "ipv6/bindv6only"]
ALL = [*SET, *OTHERS]
SHOW = [f"for i in {' '.join(ALL)}; do echo $i $(cat /proc/sys/net/$i); done"]


def read(text):
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


class SettingsCase(NetworkCase):
    def set_in(self, ns, settings):
        for name, value in settings.items():
            # Names of interfaces may have dots, so sysctl gets slashes.
            done = self.net.run("sysctl", "-qw", f"net/{name}={value}", ns=ns)
            self.assertEqual(done.code, 0, done)

    def of_namespace(self, ns):
        return read(self.net.run("sh", "-c", SHOW[0], ns=ns).out)


class OfANamespace(SettingsCase):
    @core
    def test_what_is_set_in_a_namespace_is_so_in_its_container(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 31)
        self.set_in(ns, SET)
        wanted = self.of_namespace(ns)
        done = self.run_in(ns, *SHOW, f"ping -c 1 -W 10 {self.net.GATEWAY} >/dev/null && echo ping")
        self.assert_code(done, 0)
        self.assertEqual(read(done.out), wanted)
        self.assertIn("ping\n", done.out)
        self.assertEqual(self.of_namespace(ns), wanted, "the namespace is as it was")

    def test_a_namespace_in_which_nobody_has_set_anything(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 32)
        wanted = self.of_namespace(ns)
        self.assertEqual(read(self.run_in(ns, *SHOW).out), wanted)

    def test_one_without_interfaces(self):
        ns = self.new_namespace()
        of_namespace = {name: value for name, value in SET.items() if "/eth0/" not in name}
        self.set_in(ns, of_namespace)
        wanted = {name: value for name, value in self.of_namespace(ns).items() if value}
        done = self.run_in(ns, *SHOW)
        self.assertEqual({name: value for name, value in read(done.out).items() if value}, wanted)

    def test_an_interface_that_comes_to_a_running_container_brings_its_own(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 33)
        self.start_in(ns, "sleep 100000")
        self.net.ip("link", "add", "net1p34", "type", "veth", "peer", "name", "net1", "netns", ns)
        self.net.ip("link", "set", "net1p34", "up")
        self.set_in(ns, {"ipv4/conf/net1/rp_filter": "2", "ipv6/conf/net1/accept_ra": "0",
                         "ipv4/conf/net1/log_martians": "1"})
        self.net.ip("link", "set", "net1", "up", ns=ns)
        self.wait_inside("cat /sys/class/net/*/operstate | grep -c up", "2")
        done = self.inside("cd /proc/sys/net", "cat ipv4/conf/net1/rp_filter ipv6/conf/net1/accept_ra "
                           "ipv4/conf/net1/log_martians ipv4/conf/eth0/log_martians")
        self.assertEqual(done.out.split(), ["2", "0", "1", "0"], done)

    @only("kata", "runc's containers have the namespace itself")
    def test_a_change_reaches_a_running_container_with_the_next_one_of_its_network(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 35)
        self.start_in(ns, "sleep 100000")
        self.set_in(ns, {"core/somaxconn": "123"})
        self.net.ip("address", "add", "192.0.2.9/32", "dev", "eth0", ns=ns)
        self.wait_inside("cat /proc/sys/net/core/somaxconn", "123")
        self.set_in(ns, {"core/somaxconn": "4096"})
        self.net.ip("address", "delete", "192.0.2.9/32", "dev", "eth0", ns=ns)
        self.wait_inside("cat /proc/sys/net/core/somaxconn", "4096")


class AndOfASpecification(SettingsCase):
    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.specs = SpecRunner(cls.containerd)

    @core
    def test_what_a_specification_sets_comes_first(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 36)
        self.set_in(ns, {"ipv4/ip_forward": "1", "core/somaxconn": "500", "ipv4/tcp_fin_timeout": "33"})
        spec = self.specs.new(self.name, SHOW[0])
        for each in spec["linux"]["namespaces"]:
            if each["type"] == "network":
                each["path"] = self.net.path(ns)
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "0", "net.core.somaxconn": "77",
                                   "net.ipv6.conf.all.disable_ipv6": "1"}
        done = self.specs.run(self.name, spec, "--rm", timeout=90)
        self.assert_code(done, 0)
        found = read(done.out)
        for name, value in {"ipv4/ip_forward": "0", "ipv4/conf/eth0/forwarding": "0",
                            "core/somaxconn": "77", "ipv4/tcp_fin_timeout": "33",
                            "ipv6/conf/eth0/disable_ipv6": "1"}.items():
            self.assertEqual(found[name], value, name)


class BySockets(SettingsCase):
    """A namespace that others live in."""

    @core
    @only("kata", "runc's containers have the namespace itself")
    def test_ports_and_forwarding_are_the_namespaces_and_interfaces_the_guests(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 37)
        bed = self.net.server("sleep", "100000", ns=ns)
        child = bed.__enter__()
        self.addCleanup(bed.__exit__, None, None, None)
        wait_until(lambda: open(f"/proc/{child.pid}/comm").read() == "sleep\n", 10, "sleep")
        self.before = snapshot()
        self.set_in(ns, SET)
        found = read(self.run_in(ns, *SHOW, f"ping -c 1 -W 10 {self.net.GATEWAY} >/dev/null && echo p p").out)
        for name in ("ipv4/ip_forward", "ipv4/ip_local_port_range", "ipv4/ping_group_range",
                     "ipv4/ip_unprivileged_port_start", "core/somaxconn", "ipv6/conf/all/forwarding"):
            self.assertEqual(found[name].split(), SET[name].split(), name)
        for name in ("ipv4/conf/eth0/rp_filter", "ipv4/conf/eth0/arp_ignore"):
            self.assertEqual(found[name], "0", name)
        self.assertEqual(found["ipv4/tcp_ecn"], "2")
        self.assertEqual(found["p"], "p", "the network works")
