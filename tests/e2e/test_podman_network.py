# SPDX-License-Identifier: Apache-2.0
"""Podman's networks: the table of support/network_table.py, and pods."""

from support.network_table import SERVERS, NetworkTable
from support.podman_case import PodmanCase
from testbed.traffic import get


class Networks(NetworkTable, PodmanCase):
    mtu_option = "mtu"

    @classmethod
    def set_up_bed(cls):
        cls.set_up_table(cls.base, cls.entered, f"kt-{cls.token}-outside")
        # netavark leaves its chains once made.
        cls.cli("run", "--rm", cls.image, "true", plain=True, check=True)

    @staticmethod
    def entered(*argv):
        return list(argv)

    def test_the_containers_of_a_pod_share_its_network_and_ports(self):
        net = self.new_network("--subnet", "10.75.0.0/24")
        self.cli("pod", "create", "--name", "pod", "--network", net, "--ip", "10.75.0.5",
                 "--hostname", "podhost", *self.PUBLISHED, check=True)
        self.up("--pod", "pod", script=SERVERS)
        self.assert_answers_everywhere(["10.75.0.1", "127.0.0.1"])
        done = self.cli("run", "--rm", "--pod", "pod", self.image, "sh", "-c",
                        f"ip -o -4 addr show dev eth0; {get('127.0.0.1')}")
        self.assertIn("inet 10.75.0.5/24", done.out)
        self.assertIn("hello from podhost", done.out)
        other = f"{self.name}-other"
        self.up("--network", net, "--ip", "10.75.0.9", script="sleep 100000", name=other, plain=True)
        self.assertIn("hello from podhost", self.box(get("10.75.0.5"), name=other).out)
        self.assert_knows(self.name, other, "10.75.0.9")
