# SPDX-License-Identifier: Apache-2.0
"""Docker's networks: published ports, addresses, networks of one's own, connect and disconnect."""

import json
import os
import unittest

from support.case import core, only
from support.process import run, wait_until

try:
    from support.docker import COMMAND_LINE, IMAGE, SHIM
    from support.docker_case import DockerCase
except ImportError as error:
    raise unittest.SkipTest(f"the Docker test bed is not there: {error}") from None

HTTPD = "mkdir -p /www; echo hello from $(hostname) > /www/index.html; httpd -f -p 80 -h /www"


class DockerNetwork:
    def fetch(self, url, seconds=60):
        """What an HTTP server says to Docker's host once it answers."""
        def get():
            done = run(self.bed.entered("curl", "-sS", "--max-time", "10", url), 30)
            return done.out if done.code == 0 else None
        return wait_until(get, seconds, lambda: f"answer of {url}; {self.logs()!r}")

    def host_network(self):
        """The links, addresses, routes and rules of the namespace that plays Docker's host."""
        text = ""
        for command in ("ip -br link", "ip -o -4 addr", "ip route", "iptables-save"):
            done = run(self.bed.entered(*command.split()), 30)
            for line in done.out.splitlines():
                if command == "ip -br link":
                    line = line.split()[0]
                # Counters, times, and whether a bridge has ports at the moment.
                if not line.startswith(("#", ":", "*", "COMMIT")):
                    text += line.replace(" linkdown", "") + "\n"
        return text

    def box(self, *lines, name=None):
        return self.docker("exec", name or self.name, "sh", "-c", "\n".join(lines))

    @core
    def test_a_published_port_answers(self):
        before = self.host_network()
        self.run_detached("-p", "18080:80", *self.shell(HTTPD))
        gateway = self.inspect(".NetworkSettings.Gateway")
        for url in (f"http://{gateway}:18080/", "http://127.0.0.1:18080/"):
            self.assertIn("hello from", self.fetch(url))
        address = self.inspect(".NetworkSettings.IPAddress")
        mac = self.inspect(".NetworkSettings.MacAddress")
        shown = self.box("ip -o addr", "ip link show eth0", "ip route", "cat /etc/resolv.conf").out
        self.assertIn(f"inet {address}/16 brd 172.17.255.255", shown)
        self.assertIn(mac, shown)
        self.assertIn(f"default via {gateway} dev eth0", shown)
        self.assertIn("nameserver", shown)
        self.docker("rm", "--force", self.name, check=True)
        self.assertEqual(self.host_network(), before)

    def test_addresses_names_and_hosts_are_those_that_were_asked_for(self):
        net = f"net-{self.name}"
        self.docker("network", "create", "--subnet", "10.77.0.0/24", "--opt",
                    "com.docker.network.driver.mtu=1400", net, check=True)
        self.addCleanup(self.docker, "network", "rm", net)
        done = self.run_in("--network", net, "--ip", "10.77.0.9", "--mac-address",
                           "02:42:00:00:00:09", "--dns", "192.0.2.53", "--add-host",
                           "other:192.0.2.7", "--hostname", "web", *self.shell(
                               "ip -o -4 addr show dev eth0", "cat /sys/class/net/eth0/address",
                               "cat /sys/class/net/eth0/mtu", "cat /etc/hosts", "hostname",
                               "ping -c 1 -W 20 10.77.0.1 | grep 'bytes from'"))
        for text in ("inet 10.77.0.9/24", "02:42:00:00:00:09\n", "1400\n", "192.0.2.7\tother",
                     "10.77.0.9\tweb", "\nweb\n", "bytes from 10.77.0.1"):
            self.assertIn(text, done.out, done)

    def test_without_a_network_there_is_the_loopback_only(self):
        done = self.run_in("--network", "none", *self.shell("ls /sys/class/net"))
        self.assert_output(done, "lo\n")

    def test_networks_are_connected_and_disconnected_while_a_container_runs(self):
        net = f"net-{self.name}"
        self.docker("network", "create", "--subnet", "10.78.0.0/24", net, check=True)
        self.addCleanup(self.docker, "network", "rm", net)
        self.run_detached(*self.shell("sleep 100000"))
        self.docker("network", "connect", "--ip", "10.78.0.5", net, self.name, check=True)
        wait_until(lambda: "10.78.0.5" in self.box("ip -o -4 addr show dev eth1").out, 60, "eth1")
        self.assertIn("bytes from", self.box("ping -c 1 -W 20 10.78.0.1").out)
        self.docker("network", "disconnect", net, self.name, check=True)
        wait_until(lambda: "eth1" not in self.box("ls /sys/class/net").out, 60, "eth1 goes")
        self.assertIn("eth0", self.box("ls /sys/class/net").out)

    def test_containers_reach_each_other_by_address(self):
        self.run_detached(*self.shell(HTTPD))
        address = self.inspect(".NetworkSettings.IPAddress")
        self.fetch(f"http://{address}/")
        other = f"{self.name}-other"
        done = self.docker("run", "--rm", "--name", other, IMAGE, "sh", "-c",
                           f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 20 {address} 80")
        self.assertIn("hello from", done.out, done)

    def test_containers_of_a_network_know_each_other_by_name(self):
        net = f"net-{self.name}"
        self.docker("network", "create", "--subnet", "10.79.0.0/24", net, check=True)
        self.addCleanup(self.docker, "network", "rm", net)
        self.run_detached("--network", net, "--ip", "10.79.0.5", "--network-alias", "web",
                          *self.shell(HTTPD))
        other = f"{self.name}-other"
        done = self.docker("run", "--rm", "--name", other, "--network", net, IMAGE, "sh", "-c",
                           "cat /etc/resolv.conf; nslookup -type=a web")
        self.assertIn("nameserver 127.0.0.11", done.out)
        self.assertIn("10.79.0.5", done.out, done)

    @only("kata", "runc's container gives the host's network away")
    def test_the_hosts_network_is_refused_and_unharmed(self):
        before = self.host_network()
        done = self.run_in("--network", "host", "--", "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("--net=host", done.err)
        self.assertEqual(self.host_network(), before)


class ThroughTheCommandLine(DockerNetwork, DockerCase):
    door = COMMAND_LINE


class ThroughTheShim(DockerNetwork, DockerCase):
    door = SHIM
    only_series = ("1.7", "2.1")
