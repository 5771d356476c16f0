# SPDX-License-Identifier: Apache-2.0
"""Many small files, in the root file system and in a bind mount."""

import os

from .. import rootfs
from ..fronts.front import PROBE, Needs
from . import inside

BIND = "/work/bind"


def _untar(folder):
    return ["sh", "-c", f"rm -rf {folder}; mkdir -p {folder}; "
            f"{PROBE} time tar -xf {rootfs.TAR} -C {folder}"]


def measure(bench):
    def needs(runtime):
        host = f"{bench.base}/files-{runtime.word}"
        os.makedirs(host, exist_ok=True)
        return Needs(mounts=[(host, BIND)])

    inside.by_turns(bench, {
        "files.untar": _untar("/work/untar"),
        "files.status": [PROBE, "status", "1", rootfs.TREE],
        "files.small": [PROBE, "small", bench.plan.pick("200", "2000"), "/work/small"],
        "files.bind_untar": _untar(f"{BIND}/untar"),
        # The first walk after an untar finds what that has left in the caches, as git does.
        "files.bind_status": [PROBE, "status", "1", f"{BIND}/untar"],
    }, bench.plan.count(1, 6), needs, timeout=60, what="small files",
        warm_up=not bench.plan.quick)
