# SPDX-License-Identifier: Apache-2.0
"""Workloads that are programs in a running container, which print one number."""

from ..commands import Failed


def number(text):
    try:
        return float(text.split()[-1])
    except (IndexError, ValueError):
        raise Failed(f"no number in the output {text[:200]!r}") from None


def by_turns(bench, works, rounds, needs=None, timeout=30, what="", warm_up=True):
    """Runs {metric: command} in boxes of all steady runtimes, by turns.

    A command may also be a function of the box that gives the number.
    """
    names = list(works)
    boxes = bench.open_boxes(bench.steady(), names, needs)
    try:
        for turn, runtime in bench.rounds([r for r in bench.steady() if r.name in boxes], rounds,
                                          warm_up=warm_up, what=what):
            box = boxes[runtime.name]
            for name in names:
                if not bench.goes_on(runtime):
                    break

                def one(work=works[name], name=name):
                    value = work(box) if callable(work) else \
                        number(bench.inside(box, *work, timeout=timeout))
                    return {name: value}
                bench.attempt(runtime, [name], one, keep=turn > 0)
    finally:
        bench.close_boxes(boxes)
