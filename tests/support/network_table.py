# SPDX-License-Identifier: Apache-2.0
"""What containers get of a network, for every program with Docker's command line: the same tests."""

import contextlib
import ipaddress
import json
import os
import re
import signal
import subprocess

from testbed.network import Outside
from testbed.process import run, wait_until
from testbed.traffic import ASK_NAME, HTTPD, build_udp, fetch, get, name_server

from .case import core, only

# Pages at 80 and at three ports beside each other, datagrams at 5353.
SERVERS = """\
for port in 8100 8101 8102; do
  mkdir -p /www-$port; echo page of $port > /www-$port/index.html; httpd -p $port -h /www-$port
done
/udp answer 5353 &
""" + HTTPD

# Podman does not give the capability by itself, and waits before it removes by force.
COMMON = ("--cap-add", "NET_RAW", "--stop-timeout", "0")


class NetworkBed:
    """Words for tests of networks, mixed into a case that has

    cli(*words, plain=False, check=False)   a command; `plain`: a container of it is one of runc
    entered(*argv)                          argv in the namespace of the engine's host
    base, image, name                       a folder, the busybox image, a fresh name
    and calls set_up_table() once in set_up_bed().
    """

    mtu_option = "com.docker.network.driver.mtu"

    @classmethod
    def set_up_table(cls, base, entered, name):
        cls.udp = build_udp(base)
        cls.outside = Outside(entered, name)
        cls.addClassCleanup(cls.outside.destroy)

    def up(self, *options, script, name=None, plain=False):
        """A container that runs in the background."""
        self.cli("run", "--detach", "--name", name or self.name, "--volume", f"{self.udp}:/udp:ro",
                 *COMMON, *options, self.image, "sh", "-c", script, plain=plain, check=True)

    def once(self, *options, script):
        return self.cli("run", "--rm", "--name", self.name, *COMMON, *options, self.image, "sh", "-c",
                        script)

    def box(self, *lines, name=None):
        return self.cli("exec", name or self.name, "sh", "-c", "\n".join(lines))

    def new_network(self, *options, word="net"):
        name = f"{word}-{self.name}"
        self.cli("network", "create", *options, name, check=True)
        self.addCleanup(self.cli, "network", "rm", name)
        return name

    def endpoint(self, name=None):
        """{Gateway, IPAddress, IPPrefixLen, MacAddress, ...} of a container's only network."""
        done = self.cli("inspect", "--format", "{{json .NetworkSettings}}", name or self.name,
                        check=True)
        # nerdctl lists what it finds in the namespace, the tap as well.
        network, = (each for each in json.loads(done.out)["Networks"].values() if each["IPAddress"])
        return network

    def page(self, url, enter=None, name=None):
        return fetch(enter or self.entered, url,
                     more=lambda: self.cli("logs", name or self.name))

    def words_back(self, address, port, enter=None):
        """What the program for datagrams answers."""
        done = run((enter or self.entered)(self.udp, "ask", address, str(port), "words"), 90)
        self.assertEqual(done.out, "you said words\n", done)

    @contextlib.contextmanager
    def serving(self, *command):
        """A program beside the engine, until the end of the block."""
        # What enters a PID namespace runs as a child of who enters.
        with subprocess.Popen(self.entered(*command), stdin=subprocess.PIPE,
                              start_new_session=True) as child:
            try:
                yield
            finally:
                os.killpg(child.pid, signal.SIGKILL)

    def host_network(self):
        """The links, addresses, routes and rules of the namespace that plays the engine's host."""
        text = ""
        for command in ("ip -br link", "ip -o -4 addr", "ip route", "iptables-save"):
            done = run(self.entered(*command.split()), 30)
            for line in done.out.splitlines():
                if command == "ip -br link":
                    line = line.split()[0]
                # Counters, times, and whether a bridge has ports at the moment.
                if not line.startswith(("#", ":", "*", "COMMIT")):
                    text += line.replace(" linkdown", "") + "\n"
        return text

    def assert_answers_everywhere(self, host_addresses):
        """The published ports of a container that runs SERVERS."""
        ways = [(self.entered, address) for address in host_addresses]
        for enter, address in [*ways, (self.outside.argv, Outside.HOST)]:
            with self.subTest(address=address):
                self.assertIn("hello from", self.page(f"http://{address}:18080/", enter))
                for number in range(3):
                    self.assertEqual(self.page(f"http://{address}:{18100 + number}/", enter),
                                     f"page of {8100 + number}\n")
                self.words_back(address, 18053, enter)

    PUBLISHED = ("--publish", "18080:80", "--publish", "18053:5353/udp",
                 "--publish", "18100-18102:8100-8102")


class NetworkTable(NetworkBed):
    """The tests."""

    @core
    def test_published_ports_answer(self):
        before = self.host_network()
        self.up(*self.PUBLISHED, script=SERVERS)
        end = self.endpoint()
        self.assert_answers_everywhere([end["Gateway"], "127.0.0.1"])
        own = ipaddress.ip_interface(f"{end['IPAddress']}/{end['IPPrefixLen']}")
        shown = self.box("ls /sys/class/net", "ip -o addr", "ip link show eth0", "ip route",
                         "cat /etc/resolv.conf").out
        self.assertTrue(shown.startswith("eth0\nlo\n"), shown)
        for text in (f"inet {own} brd {own.network.broadcast_address}", "inet 127.0.0.1/8",
                     end["MacAddress"], f"default via {end['Gateway']} dev eth0", "nameserver"):
            self.assertIn(text, shown)
        self.cli("rm", "--force", self.name, check=True)
        self.assertEqual(self.host_network(), before)

    def test_addresses_names_and_hosts_are_those_that_were_asked_for(self):
        net = self.new_network("--subnet", "10.77.0.0/24", "--opt", f"{self.mtu_option}=1400")
        done = self.once(
            "--network", net, "--ip", "10.77.0.9", "--mac-address", "02:42:00:00:00:09",
            "--dns", "192.0.2.53", "--dns-search", "some.test", "--add-host", "other:192.0.2.7",
            "--hostname", "web", script="\n".join((
                "ip -o -4 addr show dev eth0", "cat /sys/class/net/eth0/address",
                "cat /sys/class/net/eth0/mtu", "cat /etc/hosts", "cat /etc/resolv.conf", "hostname",
                "ping -c 1 -W 20 -s 1372 10.77.0.1 | grep 'bytes from'")))
        for text in ("inet 10.77.0.9/24", "02:42:00:00:00:09\n", "1400\n", "192.0.2.7\tother",
                     "10.77.0.9\tweb", "search some.test\n", "\nweb\n", "1380 bytes from 10.77.0.1"):
            self.assertIn(text, done.out, done)

    def test_a_name_server_of_ones_own_is_asked(self):
        """Itself on the default network, and by way of the engine's own on a user's network."""
        net = self.new_network()
        ask = "cat /etc/resolv.conf; for try in 1 2 3; do nslookup -type=a some.test && break; done"
        with subprocess.Popen(self.outside.argv(*name_server(Outside.ADDRESS)),
                              stdin=subprocess.PIPE):
            done = self.once("--dns", Outside.ADDRESS, script=ask)
            self.assertIn(f"nameserver {Outside.ADDRESS}\n", done.out, done)
            self.assertIn("192.0.2.77", done.out, done)
            done = self.once("--dns", Outside.ADDRESS, "--network", net, script=ask)
            self.assertIn("192.0.2.77", done.out, done)

    def test_without_a_network_there_is_the_loopback_only(self):
        done = self.once("--network", "none", script="ls /sys/class/net")
        self.assertEqual(done.out, "lo\n", done)

    def test_networks_are_connected_and_disconnected_while_a_container_runs(self):
        first = self.new_network("--subnet", "10.76.0.0/24", word="first")
        net = self.new_network("--subnet", "10.78.0.0/24")
        self.up("--network", first, script=HTTPD)
        other = f"{self.name}-other"
        self.up("--network", net, "--ip", "10.78.0.9", script="sleep 100000", name=other, plain=True)
        for _ in range(2):
            self.cli("network", "connect", "--ip", "10.78.0.5", net, self.name, check=True)
            wait_until(lambda: "10.78.0.5/24" in self.box("ip -o -4 addr").out, 60,
                       lambda: f"the second network: {self.box('ip -o addr').out}")
            self.assertIn("bytes from", self.box("ping -c 1 -W 20 10.78.0.9").out)
            self.assertIn("hello from", self.page("http://10.78.0.5/"))
            self.assert_knows(self.name, other, "10.78.0.9")
            self.assert_knows(other, self.name, "10.78.0.5")
            self.cli("network", "disconnect", net, self.name, check=True)
            wait_until(lambda: self.box("ls /sys/class/net").out == "eth0\nlo\n", 60,
                       lambda: f"eth0 stays: {self.box('ip -o addr').out}")

    def assert_knows(self, name, other, address):
        """The container `name` learns the address of another one by that one's name."""
        kind = "aaaa" if ":" in address else "a"
        ask = f"{ASK_NAME} address_of {other} {kind}"
        wait_until(lambda: self.box(ask, name=name).out.strip() == address, 120,
                   lambda: f"{name} knows {address}: {self.box(f'nslookup {other}', name=name)}")

    def test_containers_reach_each_other_by_address_and_name(self):
        """Of kata and of runc, by IPv4 and IPv6, with frames of 9000 bytes."""
        net = self.new_network("--ipv6", "--subnet", "10.79.0.0/24", "--subnet", "fd79::/64",
                               "--opt", f"{self.mtu_option}=9000")
        names = {f"{self.name}-{word}": number for number, word in enumerate(("one", "two", "plain"), 5)}
        for name, number in names.items():
            self.up("--network", net, "--ip", f"10.79.0.{number}", "--ip6", f"fd79::{number}",
                    "--hostname", f"host{number}", script=HTTPD, name=name,
                    plain=name.endswith("plain"))
        for name, number in names.items():
            for host in (f"10.79.0.{number}", f"[fd79::{number}]"):
                self.assertEqual(self.page(f"http://{host}/", name=name), f"hello from host{number}\n")
        for name, number in names.items():
            shown = self.box("ip -o addr show dev eth0", "cat /sys/class/net/eth0/mtu",
                             "ip -6 route", name=name).out
            for text in (f"inet 10.79.0.{number}/24", f"inet6 fd79::{number}/64", "\n9000\n",
                         "fd79::/64 dev eth0", "default via fd79::1 dev eth0"):
                self.assertIn(text, shown)
            for other, at in names.items():
                with self.subTest(client=name, server=other):
                    self.assert_reaches(name, other, at, own=name == other)

    def assert_reaches(self, name, other, number, own):
        addresses = (f"10.79.0.{number}", f"fd79::{number}")
        for address in addresses:
            self.assertIn(f"hello from host{number}", self.box(get(address), name=name).out)
            if not own:
                self.assert_knows(name, other, address)
        # The largest frames.
        size4, size6 = 9000 - 28, 9000 - 48
        done = self.box(f"ping -c 1 -W 20 -s {size4} {addresses[0]}",
                        f"ping -6 -c 1 -W 20 -s {size6} {addresses[1]}", name=name)
        self.assertEqual(re.findall(r"(\d+) bytes from", done.out),
                         [str(size4 + 8), str(size6 + 8)], done)

    def test_containers_of_the_default_network_reach_each_other(self):
        plain = f"{self.name}-plain"
        self.up(script=HTTPD)
        self.up(script=HTTPD, name=plain, plain=True)
        addresses = {name: self.endpoint(name)["IPAddress"] for name in (self.name, plain)}
        for name, address in addresses.items():
            self.page(f"http://{address}/", name=name)
        for client, server in ((self.name, plain), (plain, self.name)):
            self.assertIn("hello from", self.box(get(addresses[server]), name=client).out)

    def test_an_internal_network_has_no_way_out_and_a_macvlan_one_its_own(self):
        for line in ("link add below type veth peer name beyond", "link set below up",
                     "link set beyond up", "address add 10.73.0.1/24 dev beyond"):
            run(self.entered("ip", *line.split()), 30)
        self.addCleanup(run, self.entered("ip", "link", "delete", "below"), 30)
        macvlan = self.new_network("--driver", "macvlan", "--opt", "parent=below", "--subnet",
                                   "10.73.0.0/24", "--gateway", "10.73.0.1", word="macvlan")
        done = self.once("--network", macvlan, "--ip", "10.73.0.9", script="\n".join((
            "ip -o -4 addr show dev eth0", "ip route", "ping -c 1 -W 20 10.73.0.1")))
        for text in ("inet 10.73.0.9/24", "default via 10.73.0.1 dev eth0", "bytes from 10.73.0.1"):
            self.assertIn(text, done.out, done)
        internal = self.new_network("--internal", "--subnet", "10.72.0.0/24")
        done = self.once("--network", internal, script="\n".join((
            "ping -c 1 -W 20 10.72.0.1", f"ping -c 1 -W 3 {Outside.ADDRESS}")))
        self.assertNotIn(f"bytes from {Outside.ADDRESS}", done.out)
        self.assertIn("bytes from 10.72.0.1", done.out, done)

    @only("kata", "runc's container gives the host's network away")
    def test_the_hosts_network_is_used_and_unharmed(self):
        before = self.host_network()
        other = f"{self.name}-other"
        self.up("--publish", "18180:80", script=HTTPD, name=other, plain=True)
        self.up("--network", "host", script=SERVERS)
        with self.serving(*name_server("127.0.0.53")), \
                self.serving("python3", "-m", "http.server", "18181", "--bind", "127.0.0.1",
                             "--directory", "/usr/share/common-licenses"):
            for enter, addresses in ((self.entered, ("127.0.0.1", "::1", Outside.HOST)),
                                     (self.outside.argv, (Outside.HOST,))):
                for address in addresses:
                    host = f"[{address}]" if ":" in address else address
                    with self.subTest(server="the guest", address=address):
                        self.assertEqual(self.page(f"http://{host}:8100/", enter), "page of 8100\n")
                        self.words_back(address, 5353, enter)
            for what, command, text in (
                    ("a published port", get("127.0.0.1", 18180), "hello from"),
                    ("the loopback", get("127.0.0.1", 18181, "/GPL-3"), "GNU GENERAL PUBLIC LICENSE"),
                    ("its name server", "nslookup -type=a some.test 127.0.0.53", "192.0.2.77")):
                with self.subTest(server=what):
                    wait_until(lambda command=command, text=text: text in self.box(command).out, 60,
                               lambda command=command: f"an answer: {self.box(command)}")
        self.cli("rm", "--force", self.name, other, check=True)
        self.assertEqual(self.host_network(), before)

    @only("kata", "runc's containers share what they share")
    def test_a_container_of_runc_shares_its_network(self):
        sidecar = f"{self.name}-sidecar"
        self.up("--publish", "18280:8100", "--publish", "18253:5353/udp", script=HTTPD, name=sidecar,
                plain=True)
        self.up("--network", f"container:{sidecar}", script=SERVERS.replace(HTTPD, "sleep 100000"))
        wait_until(lambda: "hello from" in self.box(get("127.0.0.1")).out, 60,
                   lambda: f"the sidecar's page: {self.box(get('127.0.0.1'))}")
        # Who shares the network, who publishes the ports, and who is outside.
        self.assertIn("page of 8100", self.page("http://127.0.0.1:18280/"))
        self.assertIn("page of 8100", self.page(f"http://{Outside.HOST}:18280/", self.outside.argv))
        self.words_back("127.0.0.1", 18253)
        wait_until(lambda: "page of 8101" in self.box(get("127.0.0.1", 8101), name=sidecar).out, 60,
                   lambda: f"the guest's page: {self.box(get('127.0.0.1', 8101), name=sidecar)}")
