# SPDX-License-Identifier: Apache-2.0
"""The guest's packet filter from outside: kata-runtime iptables get and set."""

import unittest

from support.case import core, only
from support.network_case import NetworkCase
from testbed.process import run, wait_until

SERVE = "mkdir -p /www; echo hello > /www/index.html; httpd -p 80 -h /www; httpd -p 81 -h /www; sleep 100000"
RULES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 81 -m comment --comment "no 81" -j REJECT --reject-with tcp-reset
COMMIT
"""
RULES6 = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m multiport --dports 81,82 -m conntrack --ctstate NEW -j DROP
COMMIT
"""


@only("kata", "a command of kata-runtime's own")
class IpTables(NetworkCase):
    def iptables(self, *words, rules=""):
        return run([f"{self.runtime.bin_dir}/kata-runtime", "iptables", *words], 120,
                   stdin=rules.encode())

    def rules_of(self, name, *words):
        done = self.iptables("get", *words, name)
        self.assert_code(done, 0)
        return [line for line in done.out.splitlines() if not line.startswith("#")]

    def answers(self, port, address="10.88.0.81"):
        done = self.net.run("curl", "-sS", "--max-time", "5", f"http://{address}:{port}/")
        return done.code == 0 and "hello" in done.out

    @core
    def test_rules_that_are_set_have_effect_and_are_shown(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 81)
        self.start_in(ns, SERVE)
        for port in (80, 81):
            wait_until(lambda: self.answers(port), 30, f"port {port} answers")
        self.assertEqual(self.rules_of(self.name), [])
        self.assert_code(self.iptables("set", self.name, rules=RULES), 0)
        self.assertTrue(self.answers(80))
        self.assertFalse(self.answers(81))
        shown = self.rules_of(self.name)
        self.assertIn('-A INPUT -p tcp -m tcp --dport 81 -m comment --comment "no 81" '
                      "-j REJECT --reject-with tcp-reset", shown)
        # Garbage, a table that goes well in front of one that does not, a match that nobody has.
        counted = "*filter\n-A OUTPUT -j DROP\nCOMMIT\n*nat\n-A NO-SUCH-CHAIN -j ACCEPT\nCOMMIT\n"
        for rules, words in (("garbage\n", "line 1"), (counted, "line"),
                             ("*filter\n-A INPUT -m nosuch -j DROP\nCOMMIT\n", "nosuch")):
            with self.subTest(rules=rules):
                done = self.iptables("set", self.name, rules=rules)
                self.assertNotEqual(done.code, 0, done)
                self.assertIn(words, done.err, done)
                after = [line for line in self.rules_of(self.name)]
                self.assertEqual([line for line in after if line.startswith("-A")],
                                 [line for line in shown if line.startswith("-A")])
        self.assertTrue(self.answers(80))
        empty = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
        self.assert_code(self.iptables("set", self.name, rules=empty), 0)
        self.assertTrue(self.answers(81))

    def test_both_families_have_their_own_and_files_are_read(self):
        ns = self.new_namespace()
        self.net.add_veth(ns, 82)
        self.start_in(ns, SERVE)
        file = f"{self.containerd.base}/rules6"
        with open(file, "w") as out:
            out.write(RULES6)
        # As upstream's command line has it.
        self.assert_code(self.iptables("set", "--sandbox-id", self.name, "--v6", file), 0)
        self.assertEqual(self.rules_of(self.name), [])
        self.assertTrue(any("--dports 81,82" in line for line in self.rules_of(self.name, "--v6")))
        wait_until(lambda: self.answers(81, "10.88.0.82"), 30, "IPv4 passes")
        wait_until(lambda: self.answers(80, "[fd88::82]"), 30, "other ports of IPv6 pass")
        self.assertFalse(self.answers(81, "[fd88::82]"))

    def test_mistakes_are_named(self):
        self.assertIn("does not exist", self.iptables("get", "no-such").err)
        self.assertIn("neither get nor set", self.iptables("list", "x").err)
        self.assertIn("which container", self.iptables("get").err)
        self.containerd.run_detached(self.name, ["sleep", "100000"])
        self.assertIn("No such file", self.iptables("set", self.name, "/no/such/file").err)


if __name__ == "__main__":
    unittest.main()
