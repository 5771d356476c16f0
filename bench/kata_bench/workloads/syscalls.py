# SPDX-License-Identifier: Apache-2.0
"""Work that is mostly system calls."""

from .. import rootfs
from ..fronts.front import PROBE
from . import inside


def measure(bench):
    seconds = bench.plan.pick("0.1", "0.5")
    inside.by_turns(bench, {
        "syscall.getpid": [PROBE, "getpid", seconds],
        "syscall.stat": [PROBE, "stat", seconds, "/etc/passwd"],
        "syscall.open": [PROBE, "open", seconds, "/etc/passwd"],
        "syscall.fork": [PROBE, "fork", seconds],
        "syscall.find": ["sh", "-c", f"{PROBE} time find {rootfs.TREE} -type f | tail -n 1"],
    }, bench.plan.count(1, 6), what="system calls")
