# SPDX-License-Identifier: Apache-2.0
"""Docker's networks: the table of support/network_table.py, and what is Docker's own."""

import unittest

from support.network_table import SERVERS, NetworkBed, NetworkTable
from support.traffic import get

try:
    from support.docker import COMMAND_LINE, SHIM
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
