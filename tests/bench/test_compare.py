# SPDX-License-Identifier: Apache-2.0
"""Comparisons find what was made slower, and nothing else."""

import contextlib
import io
import os
import tempfile
import types
import unittest

from . import ROOT, made_up
from kata_bench import compare, results


class Differences(unittest.TestCase):
    def test_of_a_result_with_itself_are_none(self):
        found, notes = compare.differences(made_up.result(), made_up.result(), 1.15)
        self.assertTrue(found)
        self.assertEqual({item.verdict for item in found}, {compare.ALIKE, compare.UNSURE})
        self.assertEqual(notes, [])

    def test_find_what_became_slower_and_what_became_faster(self):
        found, _ = compare.differences(made_up.result(), made_up.result(slower=1.5), 1.15)
        worse = [(item.metric, item.runtime) for item in found if item.verdict == compare.WORSE]
        self.assertEqual(worse, [("start.run", "runc")])
        found, _ = compare.differences(made_up.result(slower=1.5), made_up.result(), 1.15)
        self.assertIn(compare.BETTER, {item.verdict for item in found})

    def test_know_which_direction_is_worse(self):
        metric = compare.metrics.METRICS["network.rate"]
        item = compare.difference(metric, "runc", [100, 101, 99], [50, 51, 49], 1.15)
        self.assertEqual(item.verdict, compare.WORSE)
        self.assertAlmostEqual(item.badness, 2)

    def test_of_one_sample_say_so(self):
        metric = compare.metrics.METRICS["start.run"]
        self.assertEqual(compare.difference(metric, "runc", [1], [9], 1.15).verdict, compare.UNSURE)

    def test_noise_is_no_difference(self):
        metric = compare.metrics.METRICS["start.run"]
        item = compare.difference(metric, "runc", [10, 30, 12, 28], [12, 35, 20, 31], 1.05)
        self.assertEqual(item.verdict, compare.ALIKE)

    def test_emulated_and_accelerated_are_never_compared(self):
        after = made_up.result()
        after["runtimes"] = [{**runtime, "accelerator": "kvm" if runtime["accelerator"] else ""}
                             for runtime in after["runtimes"]]
        found, notes = compare.differences(made_up.result(), after, 1.15)
        self.assertFalse(any(item.runtime.startswith("kata") for item in found))
        self.assertTrue(any("tcg before, kvm now" in note for note in notes))

    def test_other_machines_are_named(self):
        after = made_up.result()
        after["machine"] = {**after["machine"], "cpu": "Another"}
        _, notes = compare.differences(made_up.result(), after, 1.15)
        self.assertEqual(len(notes), 1)


class Promises(unittest.TestCase):
    def test_that_are_shipped_can_be_read(self):
        self.assertTrue(compare.load_promises(f"{ROOT}/bench/promises.toml"))

    def test_are_kept_or_broken(self):
        promise = {"metric": "memory.shim", "runtime": "^kata", "at_most": 6.0}
        self.assertEqual([item.kept for item in compare.check(made_up.result(), [promise])], [True])
        self.assertEqual([item.kept for item in compare.check(
            made_up.result(), [{**promise, "at_most": 3.0}])], [False])

    def test_may_be_times_another_runtime(self):
        promise = {"metric": "exec.true", "runtime": "template", "at_most_times": 1.0, "than": "runc"}
        self.assertEqual([item.kept for item in compare.check(made_up.result(), [promise])], [True])


class Command(unittest.TestCase):
    def status(self, before, after, **more):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            paths = []
            for name, data in (("a", before), ("b", after)):
                paths.append(os.path.join(folder, name))
                results.write(data, paths[-1])
            return compare.main(types.SimpleNamespace(
                before=paths[0], after=paths[1], threshold=more.get("threshold", 1.15), only=None,
                promises="none", json=more.get("json", False)), "")

    def test_exits_by_the_threshold(self):
        self.assertEqual(self.status(made_up.result(), made_up.result()), 0)
        self.assertEqual(self.status(made_up.result(), made_up.result(slower=1.5), json=True), 1)
        self.assertEqual(self.status(made_up.result(), made_up.result(slower=1.5), threshold=2), 0)


class ResultFiles(unittest.TestCase):
    def test_that_are_none_are_refused_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.json")
            for text, words in (("{", "no JSON"), ("{}", "no result"),
                                ('{"program": "kata-bench", "schema": 99}', "schema 99")):
                with open(path, "w") as file:
                    file.write(text)
                with self.assertRaisesRegex(results.ResultError, words):
                    results.read(path)
            with self.assertRaisesRegex(results.ResultError, "No such file"):
                results.read(f"{path}.not")


if __name__ == "__main__":
    unittest.main()
