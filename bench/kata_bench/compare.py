# SPDX-License-Identifier: Apache-2.0
"""kata-bench compare: how one result differs from another, and whether promises are kept."""

import json
import os
import re
import tomllib
from dataclasses import asdict, dataclass

from . import metrics, plan, results, stats
from .report.model import significant

DEFAULT_PROMISES = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/promises.toml"
WORSE, BETTER, ALIKE, UNSURE = "worse", "better", "alike", "one sample"


@dataclass
class Difference:
    """badness is how many times as bad after as before, with its interval; above 1 is worse."""

    metric: str
    runtime: str
    before: float
    after: float
    badness: float
    low: float
    high: float
    verdict: str


@dataclass
class Kept:
    """A promise: value is None where it was not measured."""

    metric: str
    runtime: str
    value: float
    bound: float
    kept: bool
    source: str


def _runtime(data, name):
    return next((runtime for runtime in data["runtimes"] if runtime["name"] == name), None)


def difference(metric, runtime, before, after, threshold):
    """The Difference of two lists of samples."""
    over, under = (after, before) if metric.better == metrics.LOWER else (before, after)
    found = stats.ratio(over, under)
    if min(len(before), len(after)) < 2:
        verdict = UNSURE
    elif found.value > threshold and found.low > 1:
        verdict = WORSE
    elif found.value < 1 / threshold and found.high < 1:
        verdict = BETTER
    else:
        verdict = ALIKE
    return Difference(metric.id, runtime, stats.estimate(before).value, stats.estimate(after).value,
                      found.value, found.low, found.high, verdict)


def differences(before, after, threshold, groups=None):
    """([Difference], [why something is not compared])."""
    found, notes = [], []
    for runtime in after["runtimes"]:
        name, other = runtime["name"], _runtime(before, runtime["name"])
        if other is None:
            notes.append(f"{name}: only in the second result")
            continue
        if other["accelerator"] != runtime["accelerator"]:
            notes.append(f"{name}: {other['accelerator'] or 'no VM'} before, "
                         f"{runtime['accelerator'] or 'no VM'} now: not comparable")
            continue
        for metric in metrics.METRICS.values():
            if groups and metric.group not in groups:
                continue
            one, two = (results.samples(data, metric.id, name) for data in (before, after))
            if one and two and min(one) > 0 and min(two) > 0:
                found.append(difference(metric, name, one, two, threshold))
            elif one and not two:
                notes.append(f"{name}: {metric.title}: no longer measured")
    for runtime in before["runtimes"]:
        if _runtime(after, runtime["name"]) is None:
            notes.append(f"{runtime['name']}: only in the first result")
    for key in ("cpu", "cpus", "kernel"):
        if before["machine"][key] != after["machine"][key]:
            notes.append(f"another machine: {key} {before['machine'][key]}, then {after['machine'][key]}")
    return found, notes


def load_promises(path):
    try:
        with open(path, "rb") as file:
            promises = tomllib.load(file).get("promise", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"--promises {path}: {error}") from None
    for promise in promises:
        if promise.get("metric") not in metrics.METRICS or "runtime" not in promise or not (
                "at_most" in promise or {"at_most_times", "than"} <= promise.keys()):
            raise ValueError(f"--promises {path}: no promise: {promise}")
    return promises


def check(data, promises):
    """[Kept] of each promise and runtime that it is about."""
    found = []
    for promise in promises:
        for runtime in data["runtimes"]:
            if not re.search(promise["runtime"], runtime["name"]):
                continue
            samples = results.samples(data, promise["metric"], runtime["name"])
            if not samples:
                continue
            value, bound = stats.estimate(samples).value, promise.get("at_most")
            if bound is None:
                others = results.samples(data, promise["metric"], promise["than"])
                if not others:
                    continue
                bound = promise["at_most_times"] * stats.estimate(others).value
            found.append(Kept(promise["metric"], runtime["name"], value, bound, value <= bound,
                              promise.get("source", "")))
    return found


def _print(found, notes, kept):
    for item in sorted(found, key=lambda item: -item.badness):
        metric = metrics.METRICS[item.metric]
        print(f"{item.verdict:10}  {item.badness:6.2f} ({item.low:.2f} – {item.high:.2f})  "
              f"{item.runtime}: {metric.title}: {significant(item.before)} → "
              f"{significant(item.after)} {metric.unit}")
    for note in notes:
        print(f"note        {note}")
    for item in kept:
        metric = metrics.METRICS[item.metric]
        print(f"{'kept' if item.kept else 'BROKEN':10}  {item.runtime}: {metric.title}: "
              f"{significant(item.value)} of {significant(item.bound)} {metric.unit}"
              + (f" ({item.source})" if item.source else ""))


def main(options, _program):
    """0: nothing is worse and every promise that was measured is kept; 1: not so."""
    if options.threshold < 1:
        raise ValueError(f"--threshold {options.threshold}: 1 or more, for it is how many times as bad")
    before, after = results.read(options.before), None
    groups = plan.groups_of(options.only) if options.only else None
    found, notes = [], []
    if options.after:
        after = results.read(options.after)
        found, notes = differences(before, after, options.threshold, groups)
    promises = [] if options.promises == "none" else load_promises(options.promises or DEFAULT_PROMISES)
    kept = check(after or before, promises)
    if options.json:
        print(json.dumps({"differences": [asdict(item) for item in found], "notes": notes,
                          "promises": [asdict(item) for item in kept]}, indent=1))
    else:
        _print(found, notes, kept)
    bad = [item for item in found if item.verdict == WORSE] + [item for item in kept if not item.kept]
    return 1 if bad else 0
