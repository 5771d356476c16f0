# SPDX-License-Identifier: Apache-2.0
"""Docker's networks: the table of support/network_table.py, and what is Docker's own."""

import unittest

from support.network_table import SERVERS, NetworkBed, NetworkTable
from testbed.traffic import get

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
