# SPDX-License-Identifier: Apache-2.0
"""How noisy the machine is while it measures: a fixed piece of work timed again and again, the
processor time that others take, and the load."""

import os
import statistics
import time

from . import stats


def spin():
    """Seconds of a fixed piece of work of one processor, some 20 ms."""
    begin = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number
    return time.perf_counter() - begin


def _cpu_ticks():
    """(busy, idle, stolen) ticks of the whole machine."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields
    return user + nice + system + irq + softirq, idle + iowait, steal


class Noise:
    """sample() between measurements, summary() at the end."""

    def __init__(self, clock=spin, ticks=_cpu_ticks, load=os.getloadavg, pause=0.1):
        self._clock, self._ticks, self._load = clock, ticks, load
        self._spins, self._begin, self._pause = [], ticks(), pause
        self._loads = []

    def sample(self):
        """Takes a sample, when what the bench has just ended has gone."""
        time.sleep(self._pause)
        self._spins.append(self._clock())
        self._loads.append(self._load()[0])

    def summary(self):
        """{}, or what reports state: how steady the clock was, and how slow in the worst moment."""
        if not self._spins:
            return {}
        now = self._ticks()
        total = sum(now) - sum(self._begin)
        best = min(self._spins)
        return {"samples": len(self._spins),
                "spin_ms": round(statistics.median(self._spins) * 1000, 2),
                "spin_variation": round(stats.coefficient_of_variation(self._spins), 4),
                "spin_worst_over_best": round(max(self._spins) / best, 2),
                "steal": round((now[2] - self._begin[2]) / total, 4) if total else 0.0,
                "load_at_begin": round(self._loads[0], 2),
                "load_highest": round(max(self._loads), 2)}


def verdict(summary):
    """One word and a sentence for people."""
    if not summary:
        return "unknown", "no sample of the machine's noise was taken"
    variation, worst = summary["spin_variation"], summary["spin_worst_over_best"]
    word = ("quiet" if variation < 0.05 and worst < 1.3 else
            "noisy" if variation < 0.2 and worst < 2.5 else "very noisy")
    return word, (f"a fixed piece of work took {summary['spin_ms']} ms ± {variation * 100:.1f} %, at "
                  f"worst {worst} times its best, in {summary['samples']} samples; load "
                  f"{summary['load_at_begin']} at the beginning, {summary['load_highest']} at most; "
                  f"{summary['steal'] * 100:.1f} % of processor time stolen by the machine's host")
