# SPDX-License-Identifier: Apache-2.0
"""Memory of idle containers, by the PSS of all processes that come with them."""

import os
import shutil
import subprocess
import tempfile
import time

from .. import processes
from ..commands import Failed
from ..fronts.front import Needs

IDLE = ["memory.idle"]
DENSITY = ["memory.density"]


def _total():
    return processes.memory(processes.table())


def idle(bench, runtime, count):
    """MiB a container of `count` of them, and what of it single programs have."""
    processes.settle()
    before, _ = _total()
    known, found, boxes = processes.table(), {}, []
    try:
        while len(boxes) < count:
            boxes.append(bench.front.start_box(runtime, Needs(), bench.timeout(runtime, 30)))
            bench.wait_modes(runtime)
            if len(boxes) == 1 and runtime.family == "kata":
                found = _own_programs(known)
        # A shim's threads of the start end after a while, and so do helpers of daemons.
        time.sleep(bench.plan.pick(0.5, 2))
        processes.settle()
        after, _ = _total()
    finally:
        for box in boxes:
            bench.front.remove(box)
    found["memory.idle"] = (after - before) / count / 1024
    if bench.plan.quick:
        _tell_density(bench, runtime, count, (after - before) / 1024, "a quick run starts no more")
    return found


def _own_programs(known):
    """MiB of kata's own programs beside the one container that there is: alone they share with nobody."""
    # The shim's threads of the start end after some seconds without work.
    time.sleep(3)
    processes.settle()
    found = {}
    for pid, _ in processes.table().keys() - known.keys():
        metric = {"containerd-shim-kata-v2": "memory.shim",
                  "kata-stand-in": "memory.stand_in"}.get(processes.program(pid))
        if metric:
            found[metric] = max(found.get(metric, 0), processes.pss_kib(pid) / 1024)
    return found


def density(bench, runtime, budget_mib, seconds, limit):
    """How many containers a GiB holds, from as many as a budget of memory and of time allow."""
    processes.settle()
    before, _ = _total()
    boxes, used, deadline = [], 0.0, time.monotonic() + seconds
    try:
        while len(boxes) < limit and used < budget_mib and (not boxes or time.monotonic() < deadline):
            boxes.append(bench.front.start_box(runtime, Needs(), bench.timeout(runtime, 30)))
            used = (_total()[0] - before) / 1024
        processes.settle(5)
        used = (_total()[0] - before) / 1024
    finally:
        for box in boxes:
            bench.front.remove(box)
    why = (f"the budget of {budget_mib} MiB was reached" if used >= budget_mib else
           f"{limit} were enough" if len(boxes) >= limit else "the time was over")
    _tell_density(bench, runtime, len(boxes), used, why)
    return {}


def _tell_density(bench, runtime, count, used, why):
    if used <= 0:
        raise Failed("containers took no memory that could be seen")
    bench.emit({"event": "samples", "metric": "memory.density", "runtime": runtime.name,
                "samples": [round(count * 1024 / used, 2)],
                "note": f"{count} containers held {used:.0f} MiB; {why}"})


def sizes(runtime):
    """MiB of the files that come with each guest, where they are there."""
    found = {"memory.initrd": os.path.getsize(
        f"{runtime.files['guest']}/kata-containers-initrd.img") / 2**20}
    agent = f"{runtime.files['bin']}/kata-agent"
    if os.path.exists(agent) and shutil.which("strip"):
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(["strip", "-s", "-o", stripped.name, agent], check=True)
            found["memory.agent"] = os.path.getsize(stripped.name) / 2**20
    return found


def measure(bench):
    plan = bench.plan
    for runtime in bench.steady():
        if runtime.family == "kata":
            bench.attempt(runtime, [], lambda: sizes(runtime))
    for _, runtime in bench.rounds(bench.runtimes, plan.count(1, 3), warm_up=False,
                                   what="idle containers"):
        with bench.services([runtime]):
            bench.attempt(runtime, IDLE, lambda: idle(bench, runtime, 2))
    if plan.quick:
        return
    share = max(4.0, bench.time_left() / max(1, len(bench.runtimes)))
    for _, runtime in bench.rounds(bench.runtimes, 1, warm_up=False, what="density"):
        with bench.services([runtime]):
            bench.attempt(runtime, DENSITY, lambda: density(bench, runtime, 1024, share * 0.6, 40))
