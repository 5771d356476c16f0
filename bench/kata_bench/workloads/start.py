# SPDX-License-Identifier: Apache-2.0
"""From nothing to the first instruction and back to nothing: one after the other, and 10 at once."""

from .. import metrics
from ..commands import Failed, last_words, run_together
from ..fronts.front import PROBE

AT_ONCE = 10
HELLO = [PROBE, "hello"]
ONE = ["start.run", "start.first", "start.gone"]
MANY = ["start.parallel", "start.parallel_first"]


def _check(done):
    if done.code != 0:
        raise Failed(f"run: exit code {done.code}: {last_words(done)}")
    if done.out != "x" or done.marks.first is None:
        raise Failed(f"run: the program's output is {done.out[:80]!r}, not its mark")


def one(bench, runtime):
    """A container's whole life by one command."""
    done = bench.front.begin_run(runtime, HELLO).wait(bench.timeout(runtime, 30))
    _check(done)
    marks = done.marks
    return {"start.run": (marks.returned - marks.begin) * 1000,
            "start.first": (marks.first - marks.begin) * 1000,
            "start.gone": (marks.returned - marks.first) * 1000}


def many(bench, runtime):
    commands = [bench.front.begin_run(runtime, HELLO) for _ in range(AT_ONCE)]
    begin = commands[0].begin
    all_done = run_together(commands, bench.timeout(runtime, 60))
    for done in all_done:
        _check(done)
    return {"start.parallel": (max(done.marks.returned for done in all_done) - begin) * 1000,
            "start.parallel_first": [(done.marks.first - begin) * 1000 for done in all_done]}


def measure(bench):
    with bench.services(bench.runtimes):
        _measure(bench)


def _measure(bench):
    front, plan = bench.front, bench.plan
    # First, because it takes as long as it takes: the rounds after it fill the time that is left.
    for _, runtime in bench.rounds(bench.runtimes, plan.count(1, 3), warm_up=False,
                                   what=f"{AT_ONCE} at once"):
        bench.attempt(runtime, MANY, lambda r=runtime: many(bench, r))
    for number, runtime in bench.rounds(bench.runtimes, plan.count(4, 15), warm_up=not plan.quick,
                                        what="starts", at_least=2):
        bench.attempt(runtime, ONE, lambda r=runtime: one(bench, r), keep=number > 0)
        if front.has_steps and (number % 2 == 1 or plan.rounds) and bench.goes_on(runtime):
            bench.attempt(runtime, metrics.STEPS, lambda r=runtime: front.steps(
                r, HELLO, bench.timeout(r, 30)), keep=number > 0)
