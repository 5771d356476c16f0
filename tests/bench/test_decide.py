# SPDX-License-Identifier: Apache-2.0
"""Recommendations follow from figures and rules, and say when they would be others."""

import os
import tempfile
import unittest

from . import ROOT, made_up
from kata_bench import decide
from kata_bench.report import model

RULES = decide.load(f"{ROOT}/bench/rules.toml")


class Shipped(unittest.TestCase):
    def setUp(self):
        self.found = {decision.id: decision
                      for decision in decide.decide(model.Model([made_up.result()]), RULES)}

    def test_a_trusted_service_shares_the_kernel(self):
        self.assertEqual(self.found["trusted"].choice, "runc")

    def test_untrusted_code_gets_a_kernel_of_its_own(self):
        self.assertNotEqual(self.found["untrusted"].choice, "runc")
        self.assertIn("own", dict(self.found["untrusted"].refused)["runc"])

    def test_nested_containers_need_more_than_a_kernel_in_user_space(self):
        self.assertEqual(self.found["ci"].choice, "kata (template)")
        self.assertTrue(self.found["ci"].emulated)

    def test_each_says_when_it_would_be_another_one(self):
        for decision in self.found.values():
            self.assertTrue(decision.flips, decision.id)
        self.assertTrue(any("if this were not needed" in flip for flip in self.found["ci"].flips))
        self.assertTrue(any("KVM" in flip for flip in self.found["trusted"].flips))


class Costs(unittest.TestCase):
    def setUp(self):
        self.model = model.Model([made_up.result()])

    def test_are_one_for_the_best_in_everything(self):
        rule = {"weighs": {"start.run": 1, "memory.idle": 5}}
        self.assertAlmostEqual(decide.cost(self.model, rule, "runc").cost, 1)

    def test_are_weighted_geometric_means(self):
        rule = {"weighs": {"start.run": 1, "exec.true": 1}}
        found = decide.cost(self.model, rule, "runsc")
        expected = (found.shares["start.run"] * found.shares["exec.true"]) ** 0.5
        self.assertAlmostEqual(found.cost, expected)

    def test_count_what_was_not_measured_against_it(self):
        found = decide.cost(self.model, {"weighs": {"io.block.seqread": 1}}, "runsc")
        self.assertAlmostEqual(found.cost, 10)
        self.assertEqual(found.missing, ["io.block.seqread"])

    def test_a_goal_that_is_told_would_really_change_the_answer(self):
        rule = {"id": "x", "title": "X", "weighs": {"start.run": 1}}
        decision = decide.decide(self.model, [rule])[0]
        self.assertEqual(decision.choice, "runc")
        best = self.model.measured("start.run", "runc").value
        self.assertIn(f"to {model.significant(best)} ms", decision.flips[0])


class Needs(unittest.TestCase):
    def setUp(self):
        self.model = model.Model([made_up.result()])

    def test_bounds_hold_in_both_directions(self):
        self.assertTrue(decide.lacks(self.model, {"metric": "start.run", "at_most": 100}, "runsc"))
        self.assertFalse(decide.lacks(self.model, {"metric": "start.run", "at_most": 100}, "runc"))
        self.assertTrue(decide.lacks(self.model, {"metric": "cpu.sysbench", "at_least": 10000},
                                     "kata (cold)"))
        self.assertTrue(decide.lacks(self.model, {"metric": "network.single", "at_most_times": 2},
                                     "kata (template)"))

    def test_what_is_unknown_is_not_had_unless_it_is_optional(self):
        need = {"fact": "host_paths", "is": False}
        self.assertTrue(decide.lacks(self.model, need, "runc"))
        self.assertFalse(decide.lacks(self.model, {**need, "optional": True}, "runc"))


class Files(unittest.TestCase):
    def check(self, text, words):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rules.toml")
            with open(path, "w") as file:
                file.write(text)
            with self.assertRaises(decide.RuleError) as caught:
                decide.load(path)
            self.assertIn(words, str(caught.exception))
            self.assertIn(path, str(caught.exception))

    def test_with_mistakes_are_refused_by_name(self):
        self.check("a = ", "Invalid value")
        self.check("a = 1", "no [[class]]")
        self.check('[[class]]\nid = "x"\ntitle = "X"', 'no "weighs"')
        self.check('[[class]]\nid = "x"\ntitle = "X"\n[class.weighs]\n"start.rum" = 1', "start.rum")
        self.check('[[class]]\nid = "x"\ntitle = "X"\n[[class.needs]]\nfact = "soul"\nis = true\n'
                   '[class.weighs]\n"start.run" = 1', "a need has")


if __name__ == "__main__":
    unittest.main()
