# SPDX-License-Identifier: Apache-2.0
"""Containers in namespaces that are not theirs alone: sockets of the namespace stand for the guest."""

import signal

from support.case import core, only, snapshot
from support.network_case import NetworkCase
from testbed.containerd import kill
from testbed.process import run, wait_until
from testbed.traffic import HTTPD, build_udp, fetch, get, name_server


def host_network(run_in):
    """What must not change: links, addresses, routes, rules, packet filters, settings."""
    commands = (["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "route", "show", "table", "all"],
                ["ip", "-6", "route", "show", "table", "all"], ["ip", "rule"], ["ip", "-6", "rule"],
                ["tc", "qdisc"], ["sh", "-c", "nft list ruleset 2>/dev/null || iptables-save"],
                ["sh", "-c", "cat /proc/sys/net/ipv4/conf/*/* /proc/sys/net/ipv4/ip_*"])
    text = []
    for command in commands:
        out = run_in(*command).out
        # The kernel makes those of one link a moment later than the link.
        text += [line.split(" valid_lft")[0].split(" expires ")[0] for line in out.splitlines()
                 if "fe80::" not in line and "ff00::" not in line]
    return text


class Shared(NetworkCase):
    """A namespace in which somebody lives already."""

    def shared_namespace(self, number):
        ns = self.new_namespace()
        self.net.add_veth(ns, number)
        self.enterContext(self.net.inhabitant(ns))
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
                f"ping -c 1 -W 10 {self.net.GATEWAY} >/dev/null && echo ping",
                f"ping -6 -c 1 -W 10 {self.net.GATEWAY6} >/dev/null && echo ping6",
                "ping -c 1 -W 2 10.88.0.250 >/dev/null || echo silence",
                f"nslookup -type=a some.test {self.net.GATEWAY}",
                f"nc -w 5 {self.net.GATEWAY} 8001 </dev/null || echo refused")
        self.assertIn("inet 10.88.0.61/16", done.out, done)
        self.assertIn("inet6 fd88::61/64", done.out)
        self.assertIn(f"default via {self.net.GATEWAY} dev eth0", done.out)
        self.assertIn("\n1500\n", done.out)
        self.assertEqual(done.out.count("version = 2"), 2, done)
        self.assertIn("192.0.2.77", done.out)
        for word in ("ping\n", "ping6\n", "silence\n", "refused\n"):
            self.assertIn(word, done.out)
        self.assertEqual(host_network(lambda *command: self.net.run(*command, ns=ns)), before)
        self.assert_clean()

    def answer(self, url, ns):
        """What the server says once it answers in the namespace."""
        return fetch(lambda *command: self.net.argv(*command, ns=ns), url)

    def test_ports_of_the_guest_are_the_namespaces(self):
        ns = self.shared_namespace(62)
        self.start_in(ns, HTTPD.replace("-p 80", "-p 127.0.0.1:81") + " &", HTTPD)
        for url in ("http://10.88.0.62/", "http://127.0.0.1/", "http://127.0.0.1:81/"):
            self.assertIn("hello from", self.answer(url, ns), url)
        self.assertIn("hello from", self.net.answers("http://10.88.0.62/"), "from elsewhere")
        self.assertIn("hello from", self.net.answers("http://[fd88::62]/"), "from elsewhere")
        self.assertNotEqual(self.net.run("curl", "-sS", "http://10.88.0.62:81/").code, 0,
                            "the guest's loopback is nobody else's")

    def test_a_port_goes_with_its_server_and_connections_have_their_senders(self):
        ns = self.shared_namespace(63)
        self.start_in(ns, "nc -l -p 5001 -e sh -c 'netstat -tn | grep :5001'", "sleep 100000")
        def answered():
            ask = "import socket; s = socket.create_connection(('10.88.0.63', 5001), 5); print(s.recv(99))"
            return self.net.run("python3", "-c", ask, timeout=20).out or None
        self.assertIn(f"{self.net.GATEWAY}:", wait_until(answered, 30, "an answer"))
        wait_until(lambda: ":5001" not in self.net.run("ss", "-tln", ns=ns).out, 10, "no listener")

    def test_services_of_the_loopback_are_the_guests_too(self):
        ns = self.shared_namespace(64)
        with self.net.server("python3", "-m", "http.server", "8000", "--bind", "127.0.0.1",
                             "--directory", self.containerd.base, ns=ns):
            self.start_in(ns, "sleep 100000")
            self.wait_inside(get("127.0.0.1", 8000, "/config.toml"), "version = 2")
            taken = self.inside("nc -l -p 8000 </dev/null 2>&1")
            self.assertIn("in use", taken.out + taken.err)
        wait_until(lambda: "8000" not in self.inside("netstat -tln").out, 10, "no listener")

    @core
    def test_datagrams_reach_a_server_of_the_guest(self):
        ns = self.shared_namespace(66)
        udp = build_udp(self.containerd.base)
        self.containerd.run_detached(
            self.name, self.shell("/udp answer 5353 40001"), *self.in_namespace(ns),
            "--mount", f"type=bind,src={udp},dst=/udp,options=rbind:ro")
        # 40001 is a port that the kernel might have chosen: it counts once it stays.
        for address in ("10.88.0.66", "fd88::66"):
            for port in ("5353", "40001"):
                done = self.net.run(udp, "ask", address, port, "word", timeout=90)
                self.assertIn("you said word", done.out, (address, port, done))
        self.assertIn("you said word", self.net.run(udp, "ask", "127.0.0.1", "5353", "word", ns=ns,
                                                    timeout=90).out)
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        wait_until(lambda: ":5353" not in self.net.run("ss", "-uln", ns=ns).out, 20, "no port")

    @core
    def test_the_name_server_of_the_loopback_is_the_guests_too(self):
        # As systemd-resolved has it, beside another one at the same port.
        ns = self.shared_namespace(67)
        other = name_server("127.0.0.54")
        other = (*other[:-1], other[-1].replace("\\x4d", "\\x4e"))
        with self.net.server(*name_server("127.0.0.53"), ns=ns), self.net.server(*other, ns=ns):
            self.start_in(ns, "sleep 100000")
            for server, answer in (("127.0.0.53", "192.0.2.77"), ("127.0.0.54", "192.0.2.78")):
                self.wait_inside(f"nslookup -type=a some.test {server}", answer)

    def test_services_at_one_address_are_the_guests_too(self):
        ns = self.shared_namespace(68)
        with self.net.server("python3", "-m", "http.server", "8000", "--bind", "10.88.0.68",
                             "--directory", self.containerd.base, ns=ns):
            self.start_in(ns, "sleep 100000")
            self.wait_inside(get("10.88.0.68", 8000, "/config.toml"), "version = 2")
            self.assertEqual(self.inside(get("127.0.0.1", 8000, "/config.toml")).out, "")

    def test_much_arrives_whole_both_ways(self):
        ns = self.shared_namespace(65)
        self.start_in(ns, "nc -l -p 5001 -e md5sum", "sleep 100000")
        send = ("import hashlib, socket, time, os\n"
                "data = os.urandom(1 << 20) * 64\n"
                "for _ in range(100):\n"
                "  try: s = socket.create_connection(('10.88.0.65', 5001), 10); break\n"
                "  except OSError: time.sleep(0.1)\n"
                "s.sendall(data); s.shutdown(socket.SHUT_WR); s.settimeout(60)\n"
                "print(s.makefile().read().split()[0] == hashlib.md5(data).hexdigest())")
        self.assertEqual(self.net.run("python3", "-c", send, timeout=120).out, "True\n")


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

    @only("kata", "kills of the shim and the VMM")
    def test_sudden_deaths_leave_nothing_in_the_host_s_network(self):
        def here(*command):
            return run(command, 30)
        def listeners():
            return sorted(line.split()[3] for line in here("ss", "-tlnH").out.splitlines())
        before, ports = host_network(here), listeners()
        for role in ("shim", "vmm"):
            with self.subTest(victim=role):
                name = f"{self.name}-{role}"
                self.containerd.run_detached(name, self.shell("nc -ll -p 18099 -e true"), "--net-host")
                wait_until(lambda: "0.0.0.0:18099" in listeners(), 30, "the guest's port")
                kill(self.runtime.victims(self.containerd, name)[role], signal.SIGKILL)
                wait_until(lambda: self.containerd.status(name) in ("STOPPED", "UNKNOWN", None), 20,
                           f"containerd learns of the end of {name}")
                self.containerd.ctr("task", "delete", "--force", name)
                self.containerd.ctr("container", "rm", name, check=True)
                wait_until(lambda: listeners() == ports, 20, lambda: f"{listeners()} is {ports}")
                self.assertEqual(host_network(here), before)

    @only("kata", "a command of kata-runtime's own")
    def test_kata_runtime_tells_which_way_is_taken(self):
        self.containerd.run_detached(self.name, self.shell("sleep 100000"), "--net-host")
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--network", self.name], 30)
        self.assertIn("  socket  ", done.out, done)
