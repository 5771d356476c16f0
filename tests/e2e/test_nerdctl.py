# SPDX-License-Identifier: Apache-2.0
"""nerdctl over a private containerd, with CNI's plugins: what it adds to ctr."""

import os
import shutil
import subprocess

from support.case import ContainerdCase, Settings
from support.network_table import SERVERS, NetworkBed
from testbed import debs, image, isolation
from testbed.network import fetch_plugins
from testbed.process import BedError, run
from testbed.traffic import get


def fetch_nerdctl():
    """Path of the program, built on first use."""
    return debs.script("fetch-nerdctl").split(maxsplit=1)[1]


class Nerdctl(NetworkBed, ContainerdCase):
    image = image.NAME

    @classmethod
    def setUpClass(cls):
        cls.program, cls.plugins = fetch_nerdctl(), fetch_plugins()
        # It makes bridges and rules, CNI's plugins write below /var/lib, and iproute2 makes a mount.
        cls.enterClassContext(isolation.own_namespaces(Settings.runtime.files(), ["/var/lib"]))
        os.makedirs("/run/netns")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
        super().setUpClass()

    @classmethod
    def set_up_bed(cls):
        cls.set_up_table(cls.containerd.base, cls.entered, f"kt-{cls.containerd.token}-outside")
        cls.addClassCleanup(cls.remove_what_nerdctl_keeps)

    @classmethod
    def remove_what_nerdctl_keeps(cls):
        """The bridge of its default network, and the fifos of containers that it detached from; a
        folder of the runc shim's."""
        subprocess.run(["ip", "link", "delete", "nerdctl0"], capture_output=True)
        for folder in ("fifo", "runc"):
            shutil.rmtree(f"/run/containerd/{folder}", ignore_errors=True)

    @staticmethod
    def entered(*argv):
        return list(argv)

    @classmethod
    def cli(cls, word, *arguments, plain=False, check=False, timeout=120):
        base = cls.containerd.base
        words = [cls.program, "--address", cls.containerd.address, "--namespace",
                 cls.containerd.namespace, "--cni-path", cls.plugins, "--cni-netconfpath",
                 f"{base}/cni", "--data-root", f"{base}/nerdctl", word]
        if word == "run":
            words += ["--runtime", "io.containerd.runc.v2" if plain else cls.runtime.type, "--pull",
                      "never"]
        done = run([*words, *map(str, arguments)], timeout, env=cls.containerd.env)
        if check and done.code != 0:
            raise AssertionError(f"expected success: {done}\ncontainerd: {cls.containerd.log_tail()}")
        return done

    def tearDown(self):
        for name in self.containerd.containers():
            self.cli("rm", "--force", "--volumes", name)
        super().tearDown()

    def test_a_container_has_ports_names_and_logs(self):
        self.up(*self.PUBLISHED, "--hostname", "web", script=f"echo to-the-log; {SERVERS}")
        end = self.endpoint()
        self.assert_answers_everywhere(["127.0.0.1", "10.4.0.1"])
        shown = self.box("ls /sys/class/net", "ip -o -4 addr show dev eth0", "hostname",
                         "cat /sys/class/net/eth0/address").out
        for text in ("eth0\nlo\n", f"inet {end['IPAddress']}/", "\nweb\n", end["MacAddress"]):
            self.assertIn(text, shown)
        self.assertIn("to-the-log\n", self.cli("logs", self.name, check=True).out)
        self.assertIn(self.name, self.cli("ps", "--format", "{{.Names}}", check=True).out)
        self.cli("rm", "--force", self.name, check=True)
        self.assertNotIn("18080", run(["iptables-save"], 30).out)
        self.assertEqual(self.containerd.containers(), [])

    def test_options_of_networks_and_runc_beside_it(self):
        net = self.new_network("--subnet", "10.77.0.0/24", "--opt", "mtu=1400")
        self.up("--network", net, "--ip", "10.77.0.9", "--mac-address", "02:42:00:00:00:09", "--dns",
                "192.0.2.53", "--add-host", "other:192.0.2.7", "--hostname", "web", script=SERVERS)
        plain = f"{self.name}-plain"
        self.up("--network", net, "--ip", "10.77.0.10", "--hostname", "plain", script=SERVERS,
                name=plain, plain=True)
        shown = self.box("ip -o -4 addr show dev eth0", "cat /sys/class/net/eth0/address",
                         "cat /sys/class/net/eth0/mtu", "cat /etc/hosts", "cat /etc/resolv.conf",
                         "ping -c 1 -W 20 -s 1372 10.77.0.1").out
        for text in ("inet 10.77.0.9/24", "02:42:00:00:00:09\n", "\n1400\n", "nameserver 192.0.2.53",
                     "1380 bytes from"):
            self.assertIn(text, shown)
        # nerdctl knows names by the hosts file.
        self.assertRegex(shown, rf"10\.77\.0\.10\s+.*{plain}")
        self.assertRegex(shown, r"192\.0\.2\.7\s+other")
        for number, host in ((9, "web"), (10, "plain")):
            self.page(f"http://10.77.0.{number}/")
            client = self.name if host == "plain" else plain
            self.assertIn(f"hello from {host}", self.box(get(f"10.77.0.{number}"), name=client).out)

    def test_without_a_network_there_is_the_loopback_only(self):
        done = self.once("--network", "none", script="ls /sys/class/net")
        self.assertEqual(done.out, "lo\n", done)
