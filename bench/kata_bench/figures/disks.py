# SPDX-License-Identifier: Apache-2.0
"""Root file systems that are directories and that are disks. Of a directory kata's VM has images of the
layers and shares what is written or has it on a disk, or shares all of it.

The disks are containerd's own, from its blockfile snapshotter. Without a shared directory a VM's memory is
a copy of its template's that has the pages in common which it does not change.
"""

import glob
import statistics
import sys
import time

from testbed.process import wait_until

from .. import processes
from .many import mib_by_program, remove_all, timed
from .phases import medians, phases_of

TIMEOUT = 300
IDLE = 8
# Files that are made, read and removed.
SMALL_FILES = ("mkdir /work && cd /work && i=0 && while [ $i -lt 2000 ]; do echo text > $i; i=$((i+1)); done && "
               "cat * > /dev/null && find . -type f -size -2 | wc -l && cd / && rm -r /work")


class Case:
    def __init__(self, bed, runtime, flags):
        self.bed, self.runtime, self.flags = bed, runtime, flags
        self.starts, self.small_files = [], []

    def run(self, name, command, *flags):
        self.bed.runtime = self.runtime
        seconds, done = timed(self.bed.run, name, command, *flags, *self.flags, timeout=TIMEOUT)
        if done.code != 0:
            sys.exit(f"kata-bench: {name} failed: {done}\n{self.bed.log_tail()}")
        return seconds

    def idle_memory(self, label):
        known = processes.table()
        try:
            for number in range(IDLE):
                self.run(f"{label}-{number}", ["sleep", "100000"], "-d")
            processes.settle()
            return {program: mib / IDLE for program, mib in mib_by_program(known).items()}
        finally:
            remove_all(self.bed, label, IDLE)

    def work(self, label):
        """Seconds of file work, without those of the start."""
        self.run(label, ["sleep", "100000"], "-d")
        seconds, done = timed(self.bed.exec, label, ["sh", "-c", SMALL_FILES], timeout=TIMEOUT)
        self.bed.remove(label)
        if done.out.strip() != "2000":
            sys.exit(f"kata-bench: {label}: {done}")
        return seconds


def measure(make_bed, kata, runc, runs):
    bed = make_bed(kata)
    try:
        none = kata.write_config(f"{bed.base}/none.toml", shared_fs="none",
                                 factory={"enable_template": True})
        shared = kata.write_config(f"{bed.base}/shared.toml", settings={"rootfs_layers": False})
        upper = kata.write_config(f"{bed.base}/upper.toml", settings={"rootfs_upper": "disk"})
        disk = ("--snapshotter", "blockfile")
        cases = {"kata, layers": Case(bed, kata, ()),
                 "kata, layers, upper on a disk": Case(bed, kata, ("--runtime-config-path", upper)),
                 "kata, layers, nothing shared": Case(bed, kata, ("--runtime-config-path", none)),
                 "kata, shared": Case(bed, kata, ("--runtime-config-path", shared)),
                 "kata, disk": Case(bed, kata, disk),
                 "kata, disk, nothing shared": Case(bed, kata, (*disk, "--runtime-config-path", none)),
                 "runc, directory": Case(bed, runc, ()),
                 "runc, disk": Case(bed, runc, disk)}
        labels = {name: name.replace(", ", "-").replace(" ", "-") for name in cases}
        for name, case in cases.items():
            case.run(f"{labels[name]}-first", ["true"], "--rm")
        wait_until(lambda: glob.glob(f"{bed.base}/layers/[0-9a-f]*/image"), TIMEOUT, "images of layers")
        for number in range(runs):
            for name, case in cases.items():
                case.starts.append(case.run(f"{labels[name]}-{number}", ["true"], "--rm"))
                print(".", end="", file=sys.stderr, flush=True)
        for number in range(3):
            for name, case in cases.items():
                case.small_files.append(case.work(f"{labels[name]}-work-{number}"))
                print(".", end="", file=sys.stderr, flush=True)
        with open(bed.log, errors="replace") as file:
            log = file.read()
        figures = {}
        for name, case in cases.items():
            memory = case.idle_memory(f"{labels[name]}-idle")
            figures[name] = {"start_ms": round(1000 * statistics.median(case.starts)),
                             "phases_ms": medians([phases_of(log, f"{labels[name]}-{number}")
                                                   for number in range(runs)]),
                             "small_files_ms": round(1000 * statistics.median(case.small_files)),
                             "pss_mib": round(sum(memory.values()), 1),
                             "pss_mib_by_program": {program: round(mib, 1) for program, mib
                                                    in sorted(memory.items()) if mib >= 0.05}}
        print(file=sys.stderr)
        bed.stop()
        return figures
    finally:
        bed.destroy()


def rows(result):
    """[(name, value)] for people."""
    base = result["runc, directory"]
    found = []
    for name, each in result.items():
        found += [(name, f"start {each['start_ms']} ms, {each['start_ms'] / base['start_ms']:.1f} times "
                         f"runc's with a directory"),
                  ("  phases", ", ".join(f"{phase} {ms}" for phase, ms in each["phases_ms"].items()) or "none"),
                  ("  2000 small files", f"{each['small_files_ms']} ms, "
                   f"{each['small_files_ms'] / base['small_files_ms']:.1f} times"),
                  ("  memory (PSS), idle", f"{each['pss_mib']} MiB: " + ", ".join(
                      f"{program} {mib}" for program, mib in each["pss_mib_by_program"].items()))]
    return found
