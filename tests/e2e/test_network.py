# SPDX-License-Identifier: Apache-2.0
"""Containers in network namespaces: what they see, what passes, what is left behind.

The namespaces and the bridge are the tests' own; see testbed/network.py.
"""

import json
import os
import re
import signal
import unittest

from support.case import core, only
from support.network_case import EarlyNetworkCase, NetworkCase
from testbed.containerd import kill
from testbed.process import run, wait_until
from testbed.traffic import HTTPD, get, name_server

class Veth(NetworkCase):
    @core
    def test_a_container_sees_the_interfaces_of_its_namespace(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 11)
        mac = json.loads(self.net.ip("-j", "link", "show", "eth0", ns=ns))[0]["address"]
        before = self.net.state(ns)
        done = self.run_in(ns, "ls /sys/class/net", "ip -4 -o addr", "ip -6 -o addr",
                           "ip route", "ip -6 route", "cat /sys/class/net/eth0/address",
                           f"ping -c 2 -W 10 {self.net.GATEWAY} >/dev/null && echo ping",
                           f"ping -6 -c 2 -W 10 {self.net.GATEWAY6} >/dev/null && echo ping6")
        self.assert_code(done, 0)
        self.assertEqual(re.findall(r"^\S+$", done.out, re.MULTILINE)[:2], ["eth0", "lo"], done)
        self.assertIn("inet 10.88.0.11/16", done.out)
        self.assertIn("inet6 fd88::11/64", done.out)
        self.assertIn("inet 127.0.0.1/8", done.out)
        self.assertIn(f"default via {self.net.GATEWAY} dev eth0", done.out)
        self.assertIn(f"default via {self.net.GATEWAY6} dev eth0", done.out)
        self.assertIn("10.88.0.0/16 dev eth0", done.out)
        self.assertIn(mac, done.out.split())
        self.assertIn("ping\n", done.out)
        self.assertIn("ping6\n", done.out)
        self.assertEqual(self.net.state(ns), before, "the interface is left as it was")
        self.assert_clean()

    def test_both_sides_reach_each_other(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 12)
        self.start_in(ns, HTTPD)
        for address in ("10.88.0.12", "[fd88::12]"):
            self.assertIn("hello from", self.net.answers(f"http://{address}/"))
        with self.net.server("python3", "-m", "http.server", "8000", "--bind", self.net.GATEWAY,
                             "--directory", self.containerd.base):
            self.net.answers(f"http://{self.net.GATEWAY}:8000/config.toml")
            done = self.inside(get(self.net.GATEWAY, 8000, "/config.toml"))
        self.assertIn("version = 2", done.out)

    def test_udp_passes_both_ways(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 13)
        with self.net.server(*name_server(self.net.GATEWAY)):
            done = self.run_in(ns, f"nslookup -type=a some.test {self.net.GATEWAY}")
        self.assertIn("192.0.2.77", done.out, done)

    def test_the_mtu_is_the_namespaces_and_frames_of_its_size_pass(self):
        for number, mtu in ((14, 1400), (15, 9000)):
            with self.subTest(mtu=mtu):
                ns = self.new_namespace()
                self.net.add_veth(ns, number, mtu=mtu)
                size = mtu - 28
                done = self.run_in(ns, "cat /sys/class/net/eth0/mtu",
                                   f"ping -c 2 -W 10 -s {size} {self.net.GATEWAY} | grep -c 'bytes from'",
                                   name=f"{self.name}-{mtu}")
                self.assertEqual(done.out, f"{mtu}\n2\n", done)

    def test_much_data_arrives_whole(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 16)
        self.start_in(ns, "nc -l -p 5001 -e md5sum")
        send = ("import hashlib, socket, time, os\n"
                "data = os.urandom(1 << 20) * 24\n"
                "for _ in range(100):\n"
                "  try: s = socket.create_connection(('10.88.0.16', 5001), 10); break\n"
                "  except OSError: time.sleep(0.1)\n"
                "s.sendall(data); s.shutdown(socket.SHUT_WR); s.settimeout(60)\n"
                "print(s.makefile().read().split()[0] == hashlib.md5(data).hexdigest())")
        self.assertEqual(self.net.run("python3", "-c", send, timeout=120).out, "True\n")

    def test_several_interfaces_routes_and_neighbours(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 17)
        self.net.add_veth(ns, 18, name="net1", bridge=None,
                          addresses=("192.0.2.2/24", "192.0.2.3/24"))
        self.net.ip("address", "add", "192.0.2.1/24", "dev", "net1p18")
        self.net.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.1", "metric", "77", ns=ns)
        self.net.ip("route", "add", "203.0.113.9", "dev", "net1", "scope", "link", ns=ns)
        self.net.ip("route", "add", "unreachable", "203.0.113.0/25", ns=ns)
        self.net.ip("neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "net1", "nud",
                    "permanent", ns=ns)
        done = self.run_in(ns, "ip -o -4 addr show dev net1", "ip route", "ip neigh",
                           "ping -c 1 -W 10 192.0.2.1 | grep 'bytes from'",
                           f"ping -c 1 -W 10 {self.net.GATEWAY} | grep 'bytes from'")
        for text in ("192.0.2.2/24", "192.0.2.3/24", "198.51.100.0/24 via 192.0.2.1 dev net1",
                     "metric 77", "203.0.113.9 dev net1", "unreachable 203.0.113.0/25",
                     "192.0.2.9 dev net1 lladdr 02:00:00:00:00:09", "bytes from 192.0.2.1",
                     f"bytes from {self.net.GATEWAY}"):
            self.assertIn(text, done.out, done)

    def test_ipv6_is_off_where_the_namespace_has_it_off(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 19, addresses=("10.88.0.19/16",))
        self.net.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1", ns=ns)
        done = self.run_in(ns, "ip -o addr show dev eth0")
        self.assertIn("inet 10.88.0.19/16", done.out)
        self.assertNotIn("inet6", done.out)

    @only("kata", "a command of kata-runtime's own")
    def test_kata_runtime_shows_how_a_sandbox_is_connected(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 20)
        self.start_in(ns, "sleep 100000")
        self.inside(f"ping -c 3 -W 10 {self.net.GATEWAY}")
        state = [f"{self.runtime.bin_dir}/kata-runtime", "state", "--network"]
        table = run([*state, self.name], 20).out
        self.assertRegex(table, r"(?m)^eth0 +veth +tcfilter +tap0_kata +1500 .* 10\.88\.0\.20/16")
        endpoint, = json.loads(run([*state, "--json", self.name], 20).out)
        self.assertEqual((endpoint["interface"], endpoint["model"]), ("eth0", "tcfilter"))
        self.assertGreaterEqual(endpoint["sent"]["packets"], 3)
        self.assertGreaterEqual(endpoint["received"]["packets"], 3)
        self.assertIn("does not exist", run([*state, "no-such"], 20).err)

    @only("kata", "runc's container has what is in the namespace, whatever its state")
    def test_without_a_network_there_is_the_loopback_only(self):
        done = self.containerd.run(self.name, self.shell("ls /sys/class/net", "ip -o -4 addr"), "--rm")
        self.assertRegex(done.out, r"^lo\n1: lo +inet 127\.0\.0\.1/8 .*\n$")


class Changes(NetworkCase):
    @only("kata", "runc's container lives in the namespace itself")
    def test_interfaces_that_come_and_go_are_followed(self):
        ns = self.new_namespace()
        self.start_in(ns, "sleep 100000")
        self.assertEqual(self.inside("ls /sys/class/net").out, "lo\n")
        self.net.add_veth(ns, 21)
        self.wait_inside("ip -o addr", "10.88.0.21/16")
        self.net.add_veth(ns, 22, name="eth1", addresses=("10.88.0.22/16",))
        self.wait_inside("ip -o addr", "10.88.0.22/16")
        self.assertIn("bytes from", self.inside(
            f"ping -c 1 -W 10 -I eth1 {self.net.GATEWAY}").out)
        self.net.ip("address", "add", "10.88.0.23/16", "dev", "eth1", ns=ns)
        self.wait_inside("ip -o addr show dev eth1", "10.88.0.23/16")
        for name in ("eth1", "eth0"):
            self.net.ip("link", "delete", name, ns=ns)
            wait_until(lambda: name not in self.inside("ls /sys/class/net").out, 30,
                       lambda: f"{name} goes")
        self.net.add_veth(ns, 24)
        self.wait_inside("ip -o addr", "10.88.0.24/16")
        self.assertIn("bytes from", self.inside(f"ping -c 1 -W 10 {self.net.GATEWAY}").out)

    @only("kata", "kills of the shim and the VMM")
    def test_nothing_of_ours_is_left_after_sudden_deaths(self):
        for number, role in enumerate(("shim", "vmm"), 25):
            with self.subTest(victim=role):
                ns = self.new_namespace()
                self.net.add_veth(ns, number)
                before = self.net.state(ns)
                name = f"{self.name}-{role}"
                self.start_in(ns, "sleep 100000", name=name)
                self.assertNotEqual(self.net.state(ns), before)
                kill(self.runtime.victims(self.containerd, name)[role], signal.SIGKILL)
                wait_until(lambda: self.containerd.status(name) in ("STOPPED", "UNKNOWN", None), 20,
                           f"containerd learns of the end of {name}")
                self.containerd.ctr("task", "delete", "--force", name)
                self.containerd.ctr("container", "rm", name, check=True)
                wait_until(lambda: self.net.state(ns) == before, 10,
                           lambda: f"{self.net.state(ns)} is as before: {before}")

    def test_many_lives_leave_nothing(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 27)
        before = (self.net.state(ns), self.net.state(self.net.host))
        for number in range(int(os.environ.get("KATA_E2E_CYCLES", "3"))):
            done = self.run_in(ns, f"ping -c 1 -W 10 {self.net.GATEWAY} | grep -c 'bytes from'",
                               name=f"{self.name}-{number}")
            self.assert_output(done, "1\n")
        self.assertEqual((self.net.state(ns), self.net.state(self.net.host)), before)
        self.assert_clean()


@only("kata", "how a virtual machine is connected")
class Models(NetworkCase):
    def test_each_model_carries_frames_or_none(self):
        for number, (model, answers) in enumerate(
                (("macvtap", True), ("tcfilter", True), ("none", False)), 31):
            with self.subTest(model=model):
                ns = self.new_namespace()
                self.net.add_veth(ns, number)
                before = self.net.state(ns)
                config = self.runtime.write_config(f"{self.containerd.base}/{model}.toml",
                                                   settings={"internetworking_model": model})
                done = self.containerd.run(
                    f"{self.name}-{model}", self.shell(
                        "ls /sys/class/net | grep -c eth0",
                        f"ping -c 1 -W 10 {self.net.GATEWAY} 2>&1 | grep -c 'bytes from'"),
                    "--rm", "--runtime-config-path", config, *self.in_namespace(ns))
                self.assertEqual(done.out, "1\n1\n" if answers else "0\n0\n", done)
                self.assertEqual(self.net.state(ns), before)

    def test_several_processors_have_several_queues(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 34)
        config = self.runtime.write_config(f"{self.containerd.base}/two.toml", default_vcpus=2)
        done = self.containerd.run(
            self.name, self.shell("ls -d /sys/class/net/eth0/queues/rx-* | wc -l",
                                  f"ping -c 1 -W 10 {self.net.GATEWAY} | grep -c 'bytes from'"),
            "--rm", "--runtime-config-path", config, *self.in_namespace(ns))
        self.assert_output(done, "2\n1\n")


@only("kata", "endpoint kinds")
class Kinds(NetworkCase):
    def check(self, ns, target):
        before = self.net.state(ns)
        done = self.run_in(ns, f"ping -c 2 -W 10 {target} | grep -c 'bytes from'", "ip -o -4 addr")
        self.assertEqual(done.out.split("\n")[0], "2", done)
        self.assertEqual(self.net.state(ns), before)

    def test_macvlan(self):
        ns = self.new_namespace()
        self.net.ip("link", "add", "m0", "type", "veth", "peer", "name", "m0p")
        for name in ("m0", "m0p"):
            self.net.ip("link", "set", name, "up")
        self.net.ip("address", "add", "192.0.2.1/24", "dev", "m0p")
        self.net.ip("link", "add", "eth0", "link", "m0", "netns", ns, "type", "macvlan", "mode",
                    "bridge")
        self.net.ip("address", "add", "192.0.2.2/24", "dev", "eth0", ns=ns)
        self.net.ip("link", "set", "eth0", "up", ns=ns)
        self.check(ns, "192.0.2.1")

    def test_ipvlan(self):
        ns = self.new_namespace()
        self.net.ip("link", "add", "v0", "type", "veth", "peer", "name", "v0p")
        for name in ("v0", "v0p"):
            self.net.ip("link", "set", name, "up")
        self.net.ip("address", "add", "198.51.100.1/24", "dev", "v0p")
        done = self.net.run("ip", "link", "add", "eth0", "link", "v0", "netns", ns, "type", "ipvlan",
                            "mode", "l2")
        if "Unknown device type" in done.err:
            self.skipTest("this host's kernel has no ipvlan")
        self.net.ip("address", "add", "198.51.100.2/24", "dev", "eth0", ns=ns)
        self.net.ip("link", "set", "eth0", "up", ns=ns)
        self.check(ns, "198.51.100.1")

    def test_a_tap_that_somebody_made_is_used_itself(self):
        ns = self.new_namespace()
        self.net.ip("tuntap", "add", "eth0", "mode", "tap", "vnet_hdr", ns=ns)
        self.net.ip("address", "add", "203.0.113.2/24", "dev", "eth0", ns=ns)
        self.net.ip("link", "set", "eth0", "up", ns=ns)
        # The kernel says so a moment after the carrier is there.
        done = self.run_in(ns, "ip -o -4 addr show dev eth0",
                           "for i in $(seq 50); do grep up /sys/class/net/eth0/operstate && break; sleep 0.1; done")
        self.assertIn("203.0.113.2/24", done.out)
        self.assertIn("up", done.out)

    def test_a_dummy_swallows_what_it_gets(self):
        ns = self.new_namespace()
        done = self.net.run("ip", "link", "add", "dummy0", "type", "dummy", ns=ns)
        if "Unknown device type" in done.err:
            self.skipTest("this host's kernel has no dummy interfaces")
        self.net.ip("address", "add", "203.0.113.3/24", "dev", "dummy0", ns=ns)
        self.net.ip("link", "set", "dummy0", "up", ns=ns)
        done = self.run_in(ns, "ip -o -4 addr show dev dummy0",
                           "ping -c 1 -W 1 203.0.113.9 | grep 'packets transmitted'")
        self.assertIn("203.0.113.3/24", done.out)
        self.assertIn("100% packet loss", done.out)


@only("kata", "what a virtual machine must not take")
class Refusals(NetworkCase):
    def assert_refused(self, done, *texts):
        self.assertNotEqual(done.code, 0, done)
        for text in texts:
            self.assertIn(text, done.err)
        self.assert_clean()

    def test_a_namespace_whose_interfaces_another_machine_has(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 41)
        self.start_in(ns, "sleep 100000")
        before = self.net.state(ns)
        done = self.run_in(ns, "true", name=f"{self.name}-other")
        self.assertNotEqual(done.code, 0, done)
        self.assertIn("its interfaces are another virtual machine's", done.err)
        self.assertEqual(self.net.state(ns), before)

    def test_a_path_where_nothing_is(self):
        done = self.containerd.run(self.name, ["true"], "--rm", "--with-ns",
                                   "network:/run/netns/kt-nothing-here")
        self.assert_refused(done, "/run/netns/kt-nothing-here", "No such file or directory")

    def test_a_path_that_is_no_namespace(self):
        done = self.containerd.run(self.name, ["true"], "--rm", "--with-ns", "network:/etc/passwd")
        self.assert_refused(done, "/etc/passwd")


@only("kata", "faults of the host's network")
class Faults(NetworkCase):
    def test_a_taken_tap_name_is_gone_round(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 51)
        self.net.ip("link", "add", "tap0_kata", "type", "veth", "peer", "name", "other", ns=ns)
        before = self.net.state(ns)
        done = self.run_in(ns, f"ping -c 1 -W 10 {self.net.GATEWAY} | grep -c 'bytes from'")
        self.assert_output(done, "1\n")
        self.assertEqual(self.net.state(ns), before)

    def test_a_hook_of_somebody_else_is_named(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 52)
        self.net._check(["tc", "-n", ns, "qdisc", "add", "dev", "eth0", "ingress"])
        before = self.net.state(ns)
        done = self.run_in(ns, "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("ingress qdisc already", done.err)
        self.assertEqual(self.net.state(ns), before)
        self.assert_clean()


@only("kata", "a machine without /dev/net/tun")
class NoTun(EarlyNetworkCase):
    number = 61
    prelude = "mount -t tmpfs none /dev/net"

    def test_it_is_named_with_the_remedy(self):
        before = self.net.state(self.ns)
        done = self.run_in(self.ns, "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("/dev/net/tun: no such device", done.err)
        self.assertIn("modprobe tun", done.err)
        self.assertEqual(self.net.state(self.ns), before)
        self.assert_clean()

    def test_who_needs_no_network_needs_no_tap(self):
        done = self.containerd.run(self.name, ["ls", "/sys/class/net"], "--rm")
        self.assert_output(done, "lo\n")


class Many(NetworkCase):
    def test_containers_on_one_bridge_all_reach_each_other(self):
        count = int(os.environ.get("KATA_E2E_MANY", "4"))
        for number in range(count):
            ns = self.new_namespace()
            self.net.add_veth(ns, 100 + number)
            self.start_in(ns, HTTPD, name=f"{self.name}-{number}")
        for number in range(count):
            self.net.answers(f"http://10.88.0.{100 + number}/")
        for number in range(count):
            others = [f"10.88.0.{100 + other}" for other in range(count) if other != number]
            done = self.inside(*map(get, others), name=f"{self.name}-{number}")
            self.assertEqual(done.out.count("hello from"), count - 1, done)


class Cni(NetworkCase):
    plugins = True

    def reach(self, plugin, config, target, after=None):
        ns = self.new_namespace()
        result = self.net.cni("ADD", plugin, ns, config)
        before = self.net.state(ns)
        address = result["ips"][0]["address"]
        done = self.run_in(ns, "ip -o -4 addr", "ip route",
                           f"ping -c 2 -W 10 {target} | grep -c 'bytes from'")
        self.assertIn(f"inet {address}", done.out)
        self.assertEqual(done.out.splitlines()[-1], "2", done)
        self.assertEqual(self.net.state(ns), before)
        self.net.cni("DEL", plugin, ns, config)
        self.net.remove_namespace(ns)
        return done.out

    def test_bridge(self):
        self.reach("bridge", {"bridge": "cni0", "isGateway": True, "ipam": self.net.ipam()},
                   "10.99.0.1")

    def test_ptp(self):
        routes = self.reach("ptp", {"ipam": self.net.ipam("10.98.0.0/24")}, "10.98.0.1")
        self.assertIn("10.98.0.1 dev eth0 scope link", routes)
        self.assertIn("10.98.0.0/24 via 10.98.0.1 dev eth0", routes)

    def test_macvlan(self):
        self.net.ip("link", "add", "c0", "type", "veth", "peer", "name", "c0p")
        for name in ("c0", "c0p"):
            self.net.ip("link", "set", name, "up")
        self.net.ip("address", "add", "10.97.0.1/24", "dev", "c0p")
        self.reach("macvlan", {"master": "c0", "ipam": self.net.ipam("10.97.0.0/24")}, "10.97.0.1")

    @core
    def test_bandwidth_and_portmap(self):
        if not any(os.path.exists(f"{folder}/iptables") for folder in ("/usr/sbin", "/sbin")):
            self.skipTest("portmap needs iptables: apt-get install iptables")
        ns = self.new_namespace()
        config = {"bridge": "cni1", "isGateway": True, "ipam": self.net.ipam("10.96.0.0/24")}
        result = self.net.cni("ADD", "bridge", ns, config)
        limit = {"runtimeConfig": {"bandwidth": {"ingressRate": 80_000_000, "ingressBurst": 80_000_000,
                                                 "egressRate": 80_000_000,
                                                 "egressBurst": 80_000_000}}}
        self.net.cni("ADD", "bandwidth", ns, limit, previous=result)
        ports = {"capabilities": {"portMappings": True}, "runtimeConfig": {"portMappings": [
            {"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]}}
        self.net.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.net.cni("ADD", "portmap", ns, ports, previous=result)
        self.start_in(ns, HTTPD)
        other = self.new_namespace()
        self.net.add_veth(other, 71)
        self.assertIn("hello from",
                      self.net.answers(f"http://{self.net.GATEWAY}:18080/", ns=other))
        self.containerd.remove(self.name)
        for plugin, options in (("portmap", ports), ("bandwidth", limit)):
            self.net.cni("DEL", plugin, ns, options, previous=result)
        self.net.cni("DEL", "bridge", ns, config)
        self.assertNotIn("18080", self.net.run("iptables-save").out)


if __name__ == "__main__":
    unittest.main()
