# SPDX-License-Identifier: Apache-2.0
"""How big machines become for their containers' limits, up to more than the host has."""

import json
import re

from support.case import ContainerdCase, core, only
from support.oci import OciCase
from testbed.process import run

MIB = 1 << 20
BLOCK = 128
SECONDS = 180


def host_mib():
    with open("/proc/meminfo") as file:
        return int(re.search(r"MemTotal: *(\d+)", file.read())[1]) // 1024


def reached(base, limit, most, boots=False):
    """MiB of a machine that began with `base`: whole blocks more, rounded down only at the end. One that
    `boots` for its container has what was asked for from the beginning."""
    asked = base + limit
    if boots:
        return min(asked, most)
    blocks = -(-limit // BLOCK)
    if asked > most or base + blocks * BLOCK > most:
        blocks = (most - base) // BLOCK
    return base + blocks * BLOCK


@only("kata", "runc has no machine")
class Sizes(ContainerdCase):
    def size(self, name):
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--size", "--json", name], 60)
        self.assert_code(done, 0)
        return json.loads(done.out)

    def start(self, limit_mib, *flags):
        """The sizes of a container's machine, and MiB that its kernel says that it has."""
        name = self.containerd.new_id()
        self.containerd.run_detached(name, ["sleep", "1000"], "--memory-limit",
                                     str(limit_mib * MIB), *flags, timeout=SECONDS)
        size = self.size(name)
        info = self.containerd.exec(name, ["cat", "/proc/meminfo"], check=True).out
        self.containerd.ctr("task", "kill", "-s", "KILL", name, check=True)
        return size, int(re.search(r"MemTotal: *(\d+)", info)[1]) // 1024

    def check(self, limit, most, *flags):
        size, seen = self.start(limit, *flags)
        base = self.runtime.memory_mib
        with self.subTest(limit=limit, size=size, seen=seen):
            expected = reached(base, limit, most, self.runtime.start_from == "boot")
            self.assertEqual(size["has"]["memory_mib"], expected)
            self.assertEqual(size["asked"]["memory_mib"], base + limit)
            self.assertEqual(size["most"]["memory_mib"], most)
            # The kernel keeps some of what it began with, 64 MiB more where that is beyond 4 GiB (its
            # buffer for devices that see no more), and one 64th for its account of pages.
            self.assertLessEqual(seen, expected)
            self.assertGreater(seen, expected - expected // 60 - 144)
            # One that boots with the most that there is did not fall short of anything.
            full = self.runtime.start_from == "boot" and expected == most
            self.assertEqual(bool(size["reason"]), expected < base + limit and not full)
        return size

    def check_all(self, *limits):
        most = host_mib()
        for limit in limits:
            self.check(limit, most)

    @core
    def test_a_limit_above_what_the_host_has_gives_the_most_that_goes(self):
        self.check_all(4 * host_mib())

    def test_limits_near_what_the_host_has(self):
        most = host_mib()
        self.check_all(1001, most // 2, most - 4096, most - 3072, most - 2048, most - 1024, most - 300,
                       most - self.runtime.memory_mib, most - 100, most)

    def test_a_maximum_that_is_no_multiple_of_a_block(self):
        # 745 MiB more are no whole blocks: 640 are.
        config = self.runtime.write_config(
            f"{self.containerd.base}/most.toml", default_maxmemory=1001,
            factory={"enable_template": self.runtime.start_from != "boot"})
        for limit in (745, 740, 600, 100):
            self.check(limit, 1001, "--runtime-config-path", config)

    def test_a_machine_that_boots_with_all_that_it_can_have(self):
        config = self.runtime.write_config(f"{self.containerd.base}/boot.toml",
                                           default_maxmemory=1001)
        size, seen = self.start(4000, "--runtime-config-path", config)
        self.assertEqual(size["has"]["memory_mib"], 1001)
        self.assertGreater(seen, 850)


@only("kata", "runc has no machine")
class SizesByCommandLine(OciCase):
    def limited(self, mib):
        return lambda spec: spec["linux"].update(resources={"memory": {"limit": mib * MIB}})

    def size(self):
        done = self.cli("state", "--size", "--json", self.name)
        self.assert_code(done, 0)
        return json.loads(done.out)

    def test_who_creates_a_container_is_told_of_a_machine_that_is_too_small(self):
        most = host_mib()
        self.run_detached("sleep", "1000", change=self.limited(2 * most))
        self.assertRegex(self.output(), r"level=warning .*the machine has \d+ MiB")
        told = self.state()["machine"]
        self.assertEqual(told["memoryAskedForMiB"], self.runtime.memory_mib + 2 * most)
        self.assertLess(most - told["memoryMiB"], BLOCK)
        self.assertLessEqual(told["memoryMiB"], most)
        self.assertIn(f"{told['memoryMiB']} MiB", self.cli("state", "--size", self.name).out)

    def test_an_update_that_the_machine_cannot_follow_is_refused_and_changes_nothing(self):
        most = host_mib()
        self.run_detached("sleep", "1000", change=self.limited(64))
        self.assertEqual(self.output(), "")
        before = self.size()
        done = self.cli("update", "--memory", str(2 * most * MIB), self.name)
        self.assert_code(done, 1)
        self.assertRegex(done.err, rf"the machine can have {most} MiB .*; ask for \d+ MiB less")
        limit = self.cli("exec", self.name, "cat", "/sys/fs/cgroup/memory.max")
        self.assertEqual(limit.out, f"{64 * MIB}\n", limit)
        self.assertEqual(self.size(), before)
        self.assertNotIn("machine", self.state())
        done = self.cli("update", "--memory", str(300 * MIB), self.name)
        self.assert_code(done, 0)
        self.assertEqual(done.err, "")
        limit = self.cli("exec", self.name, "cat", "/sys/fs/cgroup/memory.max")
        self.assertEqual(limit.out, f"{300 * MIB}\n", limit)
