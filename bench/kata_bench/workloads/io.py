# SPDX-License-Identifier: Apache-2.0
"""fio on the root file system, a bind mount, a tmpfs and a block device."""

import json
import os
import subprocess

from ..commands import Failed, Unsupported
from ..fronts.front import Needs

FOLDERS = {"rootfs": "/work", "bind": "/work/bind", "tmpfs": "/work/tmpfs"}
JOBS = {"seqwrite": ["--rw=write", "--bs=128k"], "seqread": ["--rw=read", "--bs=128k"],
        "randwrite": ["--rw=randwrite", "--bs=4k"], "randread": ["--rw=randread", "--bs=4k"],
        "sync": ["--rw=write", "--bs=4k", "--fsync=1"]}


# A job takes fio a third of a second at least: a quick run has all of them in one place only.
FEW = ("seqread", "sync")


def jobs_of(place, quick):
    return [name for name in JOBS if not quick or place == "rootfs" or name in FEW]


def command(fio, file, size_mib, milliseconds, jobs):
    """The jobs of one place, one after the other, by one fio."""
    words = [*fio, "--output-format=json", "--ioengine=psync", "--thread", f"--filename={file}",
             f"--size={size_mib}m", f"--runtime={milliseconds}ms", "--time_based"]
    for name in jobs:
        words += [f"--name={name}", "--stonewall", *JOBS[name]]
    return words


def figures(text, place):
    """{metric: value} of fio's JSON."""
    try:
        report = json.loads(text[text.index("{"):])
    except ValueError:
        raise Failed(f"fio says {text[-300:]!r}") from None
    found = {}
    for job in report["jobs"]:
        if job.get("error"):
            raise Failed(f"fio: job {job['jobname']} ended with error {job['error']}")
        side = job["read" if "read" in job["jobname"] else "write"]
        sequential = job["jobname"].startswith("seq")
        found[f"io.{place}.{job['jobname']}"] = side["bw_bytes"] / 2**20 if sequential else side["iops"]
    return found


class _Loop:
    """A loop device on a new file, of the run's folder so that the journal knows it."""

    def __init__(self, path, size_mib):
        with open(path, "wb") as file:
            file.truncate(size_mib << 20)
        done = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True)
        self.device, self.error = done.stdout.strip(), done.stderr.strip()

    def close(self):
        if self.device:
            subprocess.run(["losetup", "--detach", self.device], check=False)


def names_of(place, quick):
    return [f"io.{place}.{job}" for job in jobs_of(place, quick)]


def measure(bench):
    size, milliseconds = bench.plan.pick(8, 64), bench.plan.pick(80, 500)
    fio, rounds = bench.tools.argv("fio", "/bench"), bench.plan.count(1, 4)
    loops, boxes = {}, {}

    def needs(runtime):
        host = f"{bench.base}/bind-{runtime.word}"
        os.makedirs(host, exist_ok=True)
        return Needs(mounts=[(host, FOLDERS["bind"])], tmpfs=[FOLDERS["tmpfs"]])

    def places(runtime):
        box = boxes.get(runtime.name)
        for place, folder in FOLDERS.items():
            if box:
                yield place, box, f"{folder}/fio.data"
        if runtime.name in loops and f"{runtime.name} block" in boxes:
            yield "block", boxes[f"{runtime.name} block"], loops[runtime.name].device

    try:
        files = [name for place in FOLDERS for name in names_of(place, bench.plan.quick)]
        boxes.update(bench.open_boxes(bench.steady(), files, needs))
        for runtime in bench.steady():
            _open_block(bench, runtime, loops, boxes, size)
        for turn, runtime in bench.rounds(bench.steady(), rounds, warm_up=False, what="fio"):
            for place, box, file in places(runtime):
                if bench.goes_on(runtime):
                    words = command(fio, file, size, milliseconds, jobs_of(place, bench.plan.quick))
                    bench.attempt(runtime, names_of(place, bench.plan.quick), lambda: figures(
                        bench.inside(box, *words, timeout=60), place), keep=turn > 0)
    finally:
        bench.close_boxes(boxes)
        for loop in loops.values():
            loop.close()


def _open_block(bench, runtime, loops, boxes, size):
    """A second container, with a block device: one that is refused must not take the first with it."""
    def start():
        loop = loops[runtime.name] = _Loop(f"{bench.base}/disk-{runtime.word}", size)
        if not loop.device:
            raise Unsupported(f"this host gives no loop device: {loop.error}")
        try:
            box = bench.front.start_box(runtime, Needs(device=loop.device),
                                        bench.timeout(runtime, 30))
        except Failed as error:
            raise Unsupported(f"no container with a block device: {error}") from None
        boxes[f"{runtime.name} block"] = box
        try:
            bench.inside(box, "sh", "-c", f"dd if={loop.device} of=/dev/null bs=4k count=1 2>&1")
        except Failed as error:
            del boxes[f"{runtime.name} block"]
            bench.front.remove(box)
            raise Unsupported(f"the container cannot read a block device: {error}") from None
        return {}
    if bench.goes_on(runtime):
        bench.attempt(runtime, names_of("block", bench.plan.quick), start)

