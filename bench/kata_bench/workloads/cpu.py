# SPDX-License-Identifier: Apache-2.0
"""Work of the processor and of memory alone."""

import re

from ..commands import Failed
from ..fronts.front import PROBE
from . import inside


def events(text):
    """sysbench's events per second."""
    match = re.search(r"events per second:\s+([\d.]+)", text)
    if not match:
        raise Failed(f"sysbench says {text[-200:]!r}")
    return float(match[1])


def measure(bench):
    seconds = bench.plan.pick(0.5, 2)
    sysbench = bench.tools.argv("sysbench", "/bench")
    inside.by_turns(bench, {
        "cpu.sysbench": lambda box: events(bench.inside(
            box, *sysbench, "cpu", "--cpu-max-prime=2000", f"--time={max(1, int(seconds))}", "run")),
        "cpu.copy": [PROBE, "copy", str(seconds / 2)],
    }, bench.plan.count(1, 5), what="computes", warm_up=not bench.plan.quick)
