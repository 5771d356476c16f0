# SPDX-License-Identifier: Apache-2.0
"""Many small files in the root file system."""

from .. import rootfs
from ..fronts.front import PROBE
from . import inside


def measure(bench):
    untar = ("rm -rf /work/untar; mkdir -p /work/untar; "
             f"{PROBE} time tar -xf {rootfs.TAR} -C /work/untar")
    inside.by_turns(bench, {
        "files.untar": ["sh", "-c", untar],
        "files.status": [PROBE, "status", "1", rootfs.TREE],
    }, bench.plan.count(1, 6), timeout=60, what="small files",
        warm_up=not bench.plan.quick)
