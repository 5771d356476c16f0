# SPDX-License-Identifier: Apache-2.0
"""Statistics on made-up data whose answers are known."""

import random
import statistics
import unittest

from . import ROOT  # noqa: F401
from kata_bench import noise, stats


class Quantiles(unittest.TestCase):
    def test_lie_between_the_closest_ranks(self):
        self.assertEqual(stats.percentile([4, 1, 3, 2], 0.5), 2.5)
        self.assertEqual(stats.percentile([1, 2, 3, 4, 5], 0.25), 2)
        self.assertAlmostEqual(stats.percentile(range(101), 0.99), 99)
        self.assertEqual(stats.percentile([7], 0.99), 7)


class Estimates(unittest.TestCase):
    def test_of_one_sample_or_of_equal_ones_have_no_width(self):
        self.assertEqual(stats.estimate([5]), stats.Estimate(5, 5, 5, 1))
        self.assertEqual(stats.estimate([5, 5, 5]), stats.Estimate(5, 5, 5, 3))

    def test_are_the_same_for_the_same_samples(self):
        samples = [random.Random(3).gauss(10, 2) for _ in range(20)]
        self.assertEqual(stats.estimate(samples), stats.estimate(samples))

    def test_hold_the_median_and_stay_within_the_samples(self):
        samples = [1, 2, 3, 4, 100]
        found = stats.estimate(samples)
        self.assertEqual((found.value, found.n), (3, 5))
        self.assertTrue(1 <= found.low <= 3 <= found.high <= 100)

    def test_become_narrower_with_more_samples(self):
        source = random.Random(5)
        few, many = ([source.gauss(100, 10) for _ in range(n)] for n in (10, 400))
        width = {n: (lambda e: e.high - e.low)(stats.estimate(samples))
                 for n, samples in ((10, few), (400, many))}
        self.assertLess(width[400], width[10] / 2)

    def test_cover_the_true_median_as_often_as_they_say(self):
        source, hits = random.Random(7), 0
        for _ in range(200):
            found = stats.estimate([source.expovariate(1) for _ in range(25)], draws=300)
            hits += found.low <= 0.6931 <= found.high
        self.assertGreaterEqual(hits, 180)  # 95 % of 200 is 190; bootstraps of few samples have less

    def test_of_a_normal_mean_agree_with_the_textbook(self):
        source = random.Random(11)
        samples = [source.gauss(50, 8) for _ in range(100)]
        found = stats.estimate(samples, statistics.fmean)
        half = 1.96 * statistics.stdev(samples) / 10
        self.assertAlmostEqual(found.high - found.low, 2 * half, delta=0.3 * half)


class Ratios(unittest.TestCase):
    def test_of_samples_that_are_twice_as_large_are_two(self):
        under = [10, 11, 9, 10, 10.5]
        found = stats.ratio([2 * value for value in under], under)
        self.assertEqual(found.value, 2)
        self.assertTrue(found.low <= 2 <= found.high)
        self.assertGreater(found.low, 1.5)

    def test_of_the_same_samples_hold_one(self):
        samples = [random.Random(13).gauss(10, 1) for _ in range(15)]
        found = stats.ratio(samples, samples)
        self.assertTrue(found.low <= 1 <= found.high)

    def test_over_nothing_are_refused(self):
        with self.assertRaises(ZeroDivisionError):
            stats.ratio([1], [0])


class Noise(unittest.TestCase):
    @staticmethod
    def summary(spins, loads=(0.1,)):
        source, load = iter(spins), iter(loads * len(spins))
        ticks = iter([(0, 0, 0), (60, 30, 10)])
        found = noise.Noise(clock=lambda: next(source), ticks=lambda: next(ticks),
                            load=lambda: (next(load), 0, 0), pause=0)
        for _ in spins:
            found.sample()
        return found.summary()

    def test_of_a_steady_clock_is_quiet(self):
        found = self.summary([0.02, 0.02, 0.0201])
        self.assertEqual(noise.verdict(found)[0], "quiet")
        self.assertEqual(found["steal"], 0.1)

    def test_of_one_that_halts_is_named(self):
        self.assertEqual(noise.verdict(self.summary([0.02, 0.02, 0.04, 0.021]))[0], "very noisy")
        self.assertEqual(noise.verdict(self.summary([0.02, 0.021, 0.023, 0.02]))[0], "noisy")

    def test_without_samples_is_unknown(self):
        self.assertEqual(noise.verdict({})[0], "unknown")


if __name__ == "__main__":
    unittest.main()
