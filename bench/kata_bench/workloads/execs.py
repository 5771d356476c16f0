# SPDX-License-Identifier: Apache-2.0
"""A program in a container that already runs."""

from ..commands import run

NAMES = ["exec.true"]


def measure(bench):
    boxes = bench.open_boxes(bench.steady(), NAMES)
    # An emulated guest first translates the code, so that one exec is no warm-up.
    batch, count = 5, bench.plan.count(3, 20)
    try:
        for number, runtime in bench.rounds([r for r in bench.steady() if r.name in boxes], count,
                                            what="execs"):
            def some():
                found = []
                for _ in range(batch):
                    argv, env = bench.front.exec_argv(boxes[runtime.name], ["true"])
                    found.append(run(argv, bench.timeout(runtime, 20), env).seconds * 1000)
                return {"exec.true": found}
            bench.attempt(runtime, NAMES, some, keep=number > 0)
    finally:
        bench.close_boxes(boxes)
