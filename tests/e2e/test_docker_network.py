# SPDX-License-Identifier: Apache-2.0
"""Docker's networks: the table of support/network_table.py, and what is Docker's own."""

import unittest

from support.case import only
from support.network_table import SERVERS, NetworkBed, NetworkTable
from testbed.traffic import HTTPD, get

try:
    from testbed.docker import COMMAND_LINE, SHIM
    from support.docker_case import DockerCase
except ImportError as error:
    raise unittest.SkipTest(f"the Docker test bed is not there: {error}") from None


class DockerBed:
    @classmethod
    def set_up_bed(cls):
        cls.set_up_table(cls.bed.base, cls.bed.entered, f"kt-{cls.bed.token}-outside")

    def entered(self, *argv):
        return self.bed.entered(*argv)


class DockerNetwork(DockerBed, NetworkTable):
    def test_the_proxy_answers_by_ipv6_and_the_container_itself(self):
        self.up(*self.PUBLISHED, script=SERVERS)
        self.assertIn("hello from", self.page("http://[::1]:18080/"))
        self.words_back("::1", 18053)
        self.assertIn("hello from", self.box(get(self.endpoint()["Gateway"], 18080)).out)

    def test_a_container_of_the_default_network_learns_names_with_another_network(self):
        net = self.new_network("--subnet", "10.74.0.0/24")
        other = f"{self.name}-other"
        self.up("--network", net, "--ip", "10.74.0.9", script="sleep 100000", name=other, plain=True)
        self.up(script="sleep 100000")
        self.assertEqual(self.box("ls /sys/class/net").out, "eth0\nlo\n")
        self.cli("network", "connect", "--ip", "10.74.0.5", "--alias", "late", net, self.name,
                 check=True)
        self.assert_knows(self.name, other, "10.74.0.9")
        self.assert_knows(other, "late", "10.74.0.5")
        self.assertIn("bytes from", self.box("ping -c 1 -W 20 10.74.0.9").out)


class ThroughTheCommandLine(DockerNetwork, DockerCase):
    door = COMMAND_LINE


class ThroughTheShim(DockerNetwork, DockerCase):
    door = SHIM


class WithoutTheProxy(DockerBed, NetworkBed):
    """Published ports by the host's rules alone."""

    options = ("--userland-proxy=false",)

    def test_published_ports_answer(self):
        self.up(*self.PUBLISHED, script=SERVERS)
        gateway = self.endpoint()["Gateway"]
        self.assert_answers_everywhere([gateway, "127.0.0.1"])
        # A container's own port: the frame comes back through the bridge's port that it left by.
        self.assertIn("hello from", self.box(get(gateway, 18080)).out)


class WithoutTheProxyThroughTheCommandLine(WithoutTheProxy, DockerCase):
    door = COMMAND_LINE


class WithoutTheProxyThroughTheShim(WithoutTheProxy, DockerCase):
    door = SHIM


class WithAPolicy(DockerBed, NetworkBed):
    """Everything is denied, but what `settings` allows."""

    DENY = {"egress_deny": ["0.0.0.0/0", "::/0"]}
    door = COMMAND_LINE

    def up_beside(self):
        """A container with a published port, and one of runc beside it whose address is 10.75.0.9."""
        net = self.new_network("--subnet", "10.75.0.0/24")
        other = f"{self.name}-other"
        self.up("--network", net, "--ip", "10.75.0.9", script="sleep 100000", name=other, plain=True)
        self.up("--network", net, "--publish", "18080:80", script=HTTPD)
        self.assertIn("hello from", self.page("http://127.0.0.1:18080/"), "who connects is answered")
        self.assertNotIn("bytes from", self.box("ping -c 1 -W 3 10.75.0.9").out)
        return other

    def name_of(self, other):
        return self.box(f"timeout 8 nslookup -type=a {other} 127.0.0.11").out


@only("kata", "runc has no such policy")
class WithNamesDenied(WithAPolicy, DockerCase):
    settings = WithAPolicy.DENY

    def test_names_are_a_way_out_as_well(self):
        self.assertNotIn("10.75.0.9", self.name_of(self.up_beside()))


@only("kata", "runc has no such policy")
class WithNamesAllowed(WithAPolicy, DockerCase):
    settings = {**WithAPolicy.DENY, "egress_allow": ["127.0.0.11 53/udp"]}

    def test_docker_s_names_are_answered_where_they_are_allowed(self):
        self.assertIn("10.75.0.9", self.name_of(self.up_beside()))
