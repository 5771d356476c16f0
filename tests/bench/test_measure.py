# SPDX-License-Identifier: Apache-2.0
"""Measuring with fake runtimes: one that hangs, crashes or lacks something is a row, and the rest goes on."""

import os
import subprocess
import tempfile
import time
import types
import unittest

from . import ROOT  # noqa: F401
from kata_bench import bench, commands, metrics, plan, results, runtimes
from kata_bench.fronts.oci import Oci
from kata_bench.workloads import inside, start

FAKE = f"{os.path.dirname(os.path.abspath(__file__))}/fake-runtime"


def runtime(way):
    return runtimes.Runtime(way, "other", argv=[FAKE], env={"FAKE_WAY": way})


class Rootfs:
    """Folders where there would be overlays."""

    def __init__(self, base):
        self.tree = base

    def overlay(self, folder):
        os.makedirs(folder)
        return folder

    @staticmethod
    def remove_overlay(folder):
        if os.path.isdir(folder):
            os.rmdir(folder)


class Bed(unittest.TestCase):
    """self.make(ways) gives a Bench over fake runtimes."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kata-bench-test-")
        self.addCleanup(folder.cleanup)
        self.events = []
        rootfs = Rootfs(folder.name)
        self.front = Oci(folder.name, "token", rootfs, {})
        self.front.start([])
        self.collector = results.Collector({}, {}, "now")
        self.make = lambda ways, **options: bench.Bench(
            self.front, [runtime(way) for way in ways], plan.Plan(**options), self.take, folder.name,
            "token", None, rootfs)

    def take(self, event):
        self.events.append(event)
        self.collector.take(event)

    def samples(self, metric, name):
        return results.samples(self.collector.data, metric, name)

    def reason(self, metric, name, kind="error"):
        return next((row.get(kind) for row in self.collector.data["values"]
                     if (row["metric"], row["runtime"]) == (metric, name)), None)


class Measuring(Bed):
    def run_start(self, ways, **options):
        made = self.make(ways, **{"groups": ["start"], "rounds": 3, "seconds": 60, **options})
        made.timeout = lambda _runtime, seconds: 4
        made.begin_group("start")
        start.measure(made)

    def test_one_that_works_has_all_marks(self):
        self.run_start(["good"])
        for name in ("start.run", "start.first", "start.gone", "start.create", "start.delete"):
            self.assertEqual(len(self.samples(name, "good")), 3, name)
        self.assertEqual(len(self.samples("start.parallel_first", "good")), 30)
        first, whole = (self.samples(name, "good")[0] for name in ("start.first", "start.run"))
        self.assertLess(first, whole)

    def test_one_that_hangs_is_told_and_left_out_while_others_go_on(self):
        begin = time.monotonic()
        self.run_start(["hang", "good"])
        self.assertIn("did not end within", self.reason("start.run", "hang"))
        self.assertIn("did not end within", self.reason("start.parallel", "hang"))
        self.assertEqual(len(self.samples("start.run", "good")), 3)
        self.assertLess(time.monotonic() - begin, 60)
        left = subprocess.run(["pgrep", "-f", f"{FAKE} --root {self.front.base}"],
                              capture_output=True).stdout
        self.assertEqual(left, b"")

    def test_one_that_crashes_says_its_last_words(self):
        self.run_start(["crash", "good"])
        self.assertIn("exit code 1: fake: it crashed", self.reason("start.run", "crash"))
        self.assertEqual(len(self.samples("start.run", "good")), 3)

    def test_one_whose_program_says_nothing_has_no_first_instruction(self):
        self.run_start(["mute"])
        self.assertIn("not its mark", self.reason("start.run", "mute"))

    def test_what_was_measured_before_a_failure_is_kept(self):
        self.run_start(["flaky"])
        self.assertTrue(self.samples("start.run", "flaky") or self.reason("start.run", "flaky"))

    def test_one_without_exec_is_told(self):
        made = self.make(["no-exec", "good"], groups=["syscall"], rounds=2, seconds=60)
        made.begin_group("syscall")
        inside.by_turns(made, {"syscall.getpid": ["probe"], "syscall.stat": ["probe"]}, 2)
        self.assertIn("exec is not there", self.reason("syscall.getpid", "no-exec"))
        self.assertEqual(self.samples("syscall.getpid", "good"), [42, 42])
        self.assertEqual(os.listdir(f"{self.front.base}/roots"), [])

    def test_what_a_runtime_lacks_is_no_failure(self):
        made = self.make(["good"], groups=["io"], seconds=60)
        made.begin_group("io")

        def lack():
            raise commands.Unsupported("no block devices")
        for _ in range(5):
            made.attempt(made.runtimes[0], ["io.block.sync"], lack)
        self.assertEqual(self.reason("io.block.sync", "good", "unsupported"), "no block devices")
        self.assertTrue(made.goes_on(made.runtimes[0]))

    def test_a_program_that_is_not_there_is_a_failure(self):
        with self.assertRaisesRegex(commands.Failed, "No such file"):
            commands.run(["/nowhere/program"], 1)


class Turns(Bed):
    def order(self, **options):
        made = self.make(["a", "b", "c"], groups=["start"], seconds=60, **options)
        made.begin_group("start")
        return made, [(number, one.name) for number, one in made.rounds(made.runtimes, 6)]

    def test_each_round_has_everybody_once_in_an_order_of_its_own(self):
        _, found = self.order(seed=3)
        by_round = {}
        for number, name in found:
            by_round.setdefault(number, []).append(name)
        self.assertEqual(sorted(by_round), list(range(7)))
        self.assertTrue(all(sorted(names) == ["a", "b", "c"] for names in by_round.values()))
        self.assertGreater(len({tuple(names) for names in by_round.values()}), 1)

    def test_the_order_is_that_of_the_seed(self):
        self.assertEqual(self.order(seed=3)[1], self.order(seed=3)[1])

    def test_a_round_that_does_not_fit_is_not_begun_but_one_is_made(self):
        made = self.make(["a"], groups=["start"], seconds=0.05)
        made.begin_group("start")
        rounds = []
        for number, _ in made.rounds(made.runtimes, 50):
            rounds.append(number)
            time.sleep(0.03)
        self.assertIn(1, rounds)
        self.assertLess(len(rounds), 6)
        self.assertTrue(any("no more time" in event.get("text", "") for event in self.events))

    def test_noise_is_sampled_in_each_round(self):
        made, _ = self.order()
        self.assertEqual(made.noise.summary()["samples"], 7)


class Plans(unittest.TestCase):
    def test_what_a_group_leaves_the_others_get(self):
        found = plan.Plan(groups=["start", "exec"], seconds=100)
        first = found.seconds_of("start")
        found.end_group("start", first - 20)
        self.assertAlmostEqual(found.seconds_of("exec"), 100 - (first - 20))

    def test_groups_have_other_names_too(self):
        self.assertEqual(plan.groups_of("network,startup"), ["start", "network"])
        with self.assertRaisesRegex(ValueError, "rubbish"):
            plan.groups_of("start,rubbish")

    def test_every_group_has_a_share_and_figures(self):
        self.assertEqual(set(plan.SHARES), set(metrics.GROUPS))
        for group in metrics.GROUPS:
            self.assertTrue(metrics.of_group(group), group)


class Words(unittest.TestCase):
    def test_of_commands_are_short_and_on_one_line(self):
        made = commands.Running(["true", "--root", "/tmp/x", "exec", "a\nb", "/t/lib/loader",
                                 "--library-path", "/t/lib", "/t/bin/fio"])
        made.wait(5)
        self.assertEqual(made.short(), "true exec a b fio")

    def test_last_words_are_the_last_line_of_the_error(self):
        done = types.SimpleNamespace(err="a\n\nb\n", out="c")
        self.assertEqual(commands.last_words(done), "b")


if __name__ == "__main__":
    unittest.main()
