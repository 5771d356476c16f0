# SPDX-License-Identifier: Apache-2.0
"""The part of a run that measures: the first program in namespaces of its own, told what to do by JSON
on standard input, that tells what it finds as JSON lines on a descriptor.

When its namespace's first process ends, for whatever reason, the kernel ends everything in it.
"""

import json
import os
import subprocess
import sys
import time
import traceback

from testbed import isolation
from testbed.process import BedError, settle
from testbed.runtime import Kata

from . import kata_modes, runtimes
from .bench import Bench
from .commands import Failed, run
from .fronts import FRONTS
from .plan import Plan
from .rootfs import Rootfs
from .tools import Tools
from .workloads import WORKLOADS
from .workloads.start import one


def leave_hybrid_cgroups():
    """crun and runsc refuse version 2 beside version 1, a layout that some hosts have."""
    if os.path.ismount("/sys/fs/cgroup/unified"):
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False)


def accelerator_of(text):
    """kvm or tcg, out of the JSON of kata-runtime env, wherever it says so; empty when it does not."""
    def search(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if "accelerator" in key.lower():
                    for word in ("tcg", "kvm"):
                        if word in json.dumps(inner).lower().split("reason")[0]:
                            return word
            return next(filter(None, map(search, value.values())), "")
        return ""
    try:
        return search(json.loads(text))
    except ValueError:
        return ""


class Worker:
    def __init__(self, job, emit):
        self._job, self.emit = job, emit
        self._runtimes = [runtimes.from_json(data) for data in job["runtimes"]]
        self._plan = Plan(**job["plan"])
        self._base = f"/tmp/kb-{job['token']}"

    def run(self):
        leave_hybrid_cgroups()
        os.mkdir(self._base, 0o711)
        self._say("unpacks the image")
        rootfs = Rootfs(self._base, self._job["tools"], self._job["probe"],
                        self._plan.pick(600, 2000))
        rootfs.prepare()
        for runtime in self._runtimes:
            if runtime.family == "kata":
                self._say(f"prepares {runtime.name}")
                self._prepare_kata(runtime)
        front = FRONTS[self._job["via"]](self._base, self._job["token"], rootfs, self._job)
        begin = time.monotonic()
        self._say(f"starts {front.name}")
        front.start(self._runtimes)
        try:
            ready = [runtime for runtime in self._runtimes if self._tried(front, runtime)]
            bench = Bench(front, ready, self._plan, self.emit, self._base, self._job["token"],
                          Tools(self._job["tools"]), rootfs)
            self._plan.end_setup(time.monotonic() - begin)
            bench.noise.sample()
            bench.modes = kata_modes.Modes(front, self._base)
            for group in self._plan.groups:
                self._measure(bench, group)
                self.emit({"event": "noise", "noise": bench.noise.summary()})
        finally:
            self._say("ends what it started")
            front.stop()

    def _say(self, text):
        self.emit({"event": "stage", "text": text})

    def _measure(self, bench, group):
        begin = time.monotonic()
        bench.begin_group(group)
        try:
            if bench.runtimes:
                WORKLOADS[group].measure(bench)
        except (Failed, BedError, AssertionError, OSError, RuntimeError) as error:
            # Of the bench, not of one runtime: the other groups go on.
            self.emit({"event": "note", "text": f"{group}: ended early: {error}"})
            self.emit({"event": "trace", "text": traceback.format_exc()})
        self._plan.end_group(group, time.monotonic() - begin)

    def _prepare_kata(self, runtime):
        folder = f"{self._base}/{runtime.word}"
        os.makedirs(folder)
        guest = runtime.files["guest"]
        settings = Kata(runtime.files["bin"], f"{guest}/vmlinux.container",
                        f"{guest}/kata-containers-initrd.img")
        settings.memory_mib = self._job["memory_mib"]
        # Also makes the template, where the mode has one.
        runtime.config = settings.write_config(f"{folder}/configuration.toml",
                                               agent={"dial_timeout": 150},
                                               settings=self._job["kata_settings"],
                                               factory=kata_modes.factory_keys(runtime.mode, folder))
        runtime.env["KATA_CONF_FILE"] = runtime.config
        done = run([*runtime.argv, "env", "--json"], 60, runtime.env, check=False)
        runtime.accelerator = accelerator_of(done.out)
        if runtime.is_emulated:
            runtime.notes.append("emulated VM (QEMU's TCG): this is no figure of a machine with KVM")

    def _tried(self, front, runtime):
        """Whether the runtime runs a container at all; tries it again without control groups."""
        reason = front.refuses(runtime)
        if not reason:
            self._say(f"tries {runtime.name}")
            reason = self._first_run(front, runtime)
            way = front.fallback(runtime) if reason else None
            if way:
                for name, value in way[0].items():
                    setattr(runtime, name, value)
                if not self._first_run(front, runtime):
                    reason = ""
                    runtime.notes.append(way[1])
        if reason:
            self.emit({"event": "absent", "name": runtime.name,
                       "how": f"it is there, but does not run: {reason}"})
            return False
        self.emit({"event": "runtime", "runtime": runtime.described()})
        return True

    def _first_run(self, front, runtime):
        """Why it does not run, or an empty text."""
        try:
            one(_Trial(front), runtime)
        except Failed as error:
            front.forget_failed(runtime)
            return str(error)
        return ""


class _Trial:
    """As much of a Bench as a first run needs."""

    def __init__(self, front):
        self.front = front

    @staticmethod
    def timeout(runtime, seconds):
        return seconds * (4 if runtime.is_emulated else 1)


def main(descriptor):
    """The program of the namespace's first process."""
    job = json.load(sys.stdin)
    isolation.serve_as_init()
    settle()
    events = os.fdopen(descriptor, "w", buffering=1)

    def emit(event):
        events.write(json.dumps(event) + "\n")
        events.flush()
    try:
        Worker(job, emit).run()
    except Exception as error:  # the supervisor keeps what was measured and says this
        emit({"event": "failed", "reason": f"{type(error).__name__}: {error}",
              "trace": traceback.format_exc()})
        return 1
    emit({"event": "finished"})
    return 0
