# SPDX-License-Identifier: Apache-2.0
"""Medians and percentiles with bootstrap intervals.

The intervals are percentile bootstraps of 95 %: samples are drawn anew with replacement, and what the
statistic is in the middle 95 % of the draws is the interval. The draws are seeded, so that a report of
the same samples is the same report.
"""

import math
import random
import statistics
from dataclasses import dataclass

LEVEL = 0.95
DRAWS = 2000
SEED = 20240229


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, of n samples. With one sample, low and high are the value."""

    value: float
    low: float
    high: float
    n: int


def quantile(ordered, fraction):
    """Linear interpolation between the closest ranks of an ordered, non-empty list."""
    place = (len(ordered) - 1) * fraction
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def percentile(samples, fraction):
    return quantile(sorted(samples), fraction)


def _interval(values):
    values.sort()
    tail = (1 - LEVEL) / 2
    return quantile(values, tail), quantile(values, 1 - tail)


def estimate(samples, statistic=statistics.median, draws=DRAWS, seed=SEED):
    """The statistic of the samples with its bootstrap interval."""
    samples = list(samples)
    value = statistic(samples)
    if len(samples) < 2 or min(samples) == max(samples):
        return Estimate(value, value, value, len(samples))
    random_source = random.Random(seed)
    low, high = _interval([statistic(random_source.choices(samples, k=len(samples)))
                           for _ in range(draws)])
    return Estimate(value, low, high, len(samples))


def ratio(over, under, draws=DRAWS, seed=SEED):
    """median(over) / median(under) with its bootstrap interval; both are drawn anew. n is the smaller n."""
    over, under = list(over), list(under)
    bottom = statistics.median(under)
    if not bottom:
        raise ZeroDivisionError("the median below the line is 0")
    value = statistics.median(over) / bottom
    random_source = random.Random(seed)
    values = []
    for _ in range(draws):
        below = statistics.median(random_source.choices(under, k=len(under)))
        if below:
            values.append(statistics.median(random_source.choices(over, k=len(over))) / below)
    low, high = _interval(values)
    return Estimate(value, low, high, min(len(over), len(under)))


def coefficient_of_variation(samples):
    """Standard deviation over mean; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean = statistics.fmean(samples)
    return statistics.stdev(samples) / mean if mean else 0.0
