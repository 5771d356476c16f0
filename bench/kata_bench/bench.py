# SPDX-License-Identifier: Apache-2.0
"""What workloads measure with: rounds by turns in random order, deadlines, failures that become rows.

One workload after the other gets the bench. What it measures leaves as events, at once, so that nothing
is lost when the run ends early.
"""

import contextlib
import random
import time

from . import metrics, processes
from .commands import Failed, Hung, Unsupported, run
from .fronts.front import Needs
from .noise import Noise

# Failures of one runtime in one group after which the group goes on without it.
PATIENCE = 2


class Bench:
    """emit takes event dicts; plan is a plan.Plan; runtimes are those that run."""

    def __init__(self, front, runtimes, plan, emit, base, token, tools, rootfs):
        self.front, self.runtimes, self.plan, self.emit = front, runtimes, plan, emit
        self.base, self.token, self.tools, self.rootfs = base, token, tools, rootfs
        self.random = random.Random(plan.seed)
        self.noise = Noise()
        self.group, self._failures, self._given_up = None, {}, {}
        self._deadline = None
        self.modes = None

    # -- the plan's time -------------------------------------------------------------------------

    def begin_group(self, group):
        self.group = group
        self._deadline = time.monotonic() + self.plan.seconds_of(group)
        self.emit({"event": "group", "group": group, "title": metrics.GROUPS[group],
                   "seconds": self.plan.seconds_of(group)})

    def time_left(self):
        """Seconds of the group's share."""
        return self._deadline - time.monotonic()

    def rounds(self, runtimes, count, warm_up=True, what="", at_least=1):
        """Yields (round, runtime) by turns, each round in an order of its own. Round 0 warms up.

        Ends early, after `at_least` rounds, when the next one would not fit into the group's time.
        """
        first, longest = (0 if warm_up else 1), 0
        for number in range(first, count + 1):
            begin = time.monotonic()
            if number > at_least and begin + longest > self._deadline:
                self.emit({"event": "note", "text": f"{metrics.GROUPS[self.group]}: {number - 1} of "
                           f"{count} rounds: no more time"})
                return
            order = [runtime for runtime in runtimes if self.goes_on(runtime)]
            self.random.shuffle(order)
            for place, runtime in enumerate(order):
                done = (number - first) + place / max(1, len(order))
                self.emit({"event": "step", "group": self.group, "runtime": runtime.name,
                           "round": number, "rounds": count, "what": what,
                           "fraction": done / (count + 1 - first)})
                self.wait_modes(runtime)
                yield number, runtime
                # What is prepared anew must not fall into the next one's turn.
                self.wait_modes(runtime)
            longest = max(longest, time.monotonic() - begin)
            self.noise.sample()

    def services(self, runtimes):
        """A context in which the services of kata's modes run that these need."""
        return self.modes.services(runtimes) if self.modes else contextlib.nullcontext()

    def wait_modes(self, runtime):
        if self.modes is None or not self.goes_on(runtime):
            return
        try:
            self.modes.wait(runtime)
        except Failed as error:
            self.fail(runtime, self.expected(runtime), error)

    # -- failures --------------------------------------------------------------------------------

    def goes_on(self, runtime):
        return (self.group, runtime.name) not in self._given_up

    def given_up(self, runtime):
        return self._given_up.get((self.group, runtime.name))

    def fail(self, runtime, names, error):
        """Notes a failure of the metrics; after too many, or one that hung, the group leaves it out."""
        kind = "unsupported" if isinstance(error, Unsupported) else "error"
        for name in names:
            self.emit({"event": kind, "metric": name, "runtime": runtime.name, "reason": str(error)})
        if kind == "unsupported":
            return
        key = self.group, runtime.name
        self._failures[key] = self._failures.get(key, 0) + 1
        if isinstance(error, Hung) or self._failures[key] >= PATIENCE:
            self._given_up[key] = str(error)
            for name in self.expected(runtime):
                self.emit({"event": "error", "metric": name, "runtime": runtime.name,
                           "reason": str(error)})
            self.emit({"event": "note", "text": f"{metrics.GROUPS[self.group]}: goes on without "
                       f"{runtime.name}: {error}"})

    def expected(self, runtime):
        """The group's metrics that this runtime has under this front end."""
        for metric in metrics.of_group(self.group):
            if metric.id in metrics.KATA_ONLY and runtime.family != "kata":
                continue
            if metric.id in metrics.STEPS and not self.front.has_steps:
                continue
            yield metric.id

    def attempt(self, runtime, names, function, keep=True):
        """Calls function(), which gives {metric: value or [values]}, and emits what it gives.

        A Failed becomes an event for each of `names`. keep=False: only a warm-up. True when it worked.
        """
        known = processes.table()
        try:
            values = function()
        except Failed as error:
            self.fail(runtime, names, error)
            if isinstance(error, Hung):
                self.front.forget_failed(runtime)
                processes.kill_new(known)
            return False
        if keep:
            for name, value in values.items():
                samples = value if isinstance(value, list) else [value]
                self.emit({"event": "samples", "metric": name, "runtime": runtime.name,
                           "samples": [round(sample, 6) for sample in samples]})
        return True

    # -- containers ------------------------------------------------------------------------------

    def timeout(self, runtime, seconds):
        """A deadline for something that takes a container `seconds` at most; emulated VMs get more."""
        return seconds * (4 if runtime.is_emulated else 1)

    def steady(self):
        """The runtimes in which workloads run: of a runtime's modes one."""
        return [runtime for runtime in self.runtimes if runtime.steady]

    def open_boxes(self, runtimes, names, needs=None):
        """{runtime's name: Box} of those that start; the others' failure is noted for `names`.

        needs    makes the Needs of a runtime
        """
        found = {}
        for runtime in runtimes:
            self.emit({"event": "step", "group": self.group, "runtime": runtime.name, "round": 0,
                       "rounds": 0, "what": "starts a container", "fraction": 0})

            def start(runtime=runtime):
                found[runtime.name] = self.front.start_box(
                    runtime, needs(runtime) if needs else Needs(), self.timeout(runtime, 30))
                return {}
            if not self.attempt(runtime, names, start):
                self._given_up.setdefault((self.group, runtime.name), "no container")
        return found

    def close_boxes(self, boxes):
        for box in boxes.values():
            try:
                self.front.remove(box)
            except Failed:
                pass

    def inside(self, box, *command, timeout=20):
        """Runs a command in the box; its output. Raises Failed with what it said."""
        argv, env = self.front.exec_argv(box, command)
        return run(argv, self.timeout(box.runtime, timeout), env).out
