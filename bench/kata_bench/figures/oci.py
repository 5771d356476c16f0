# SPDX-License-Identifier: Apache-2.0
"""The OCI command line's times beside runc's and crun's: run, exec, commands without a machine."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from testbed import image
from testbed.runtime import processes

from ..processes import pss_kib


class CommandLine:
    """One runtime's command line with a state folder of its own."""

    def __init__(self, name, argv, work, env):
        self.name, self.env = name, {**os.environ, **env}
        self.argv = [*argv, "--root", f"{work}/state-{name}"]

    def call(self, *words, **options):
        return subprocess.run([*self.argv, *words], env=self.env, check=True,
                              stdin=subprocess.DEVNULL, **options)

    def seconds(self, *words):
        begin = time.monotonic()
        self.call(*words, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin


def _bundle(line, work, tree, *command):
    folder = tempfile.mkdtemp(prefix="bundle-", dir=work)
    line.call("spec", "--bundle", folder)
    with open(f"{folder}/config.json") as file:
        spec = json.load(file)
    spec["root"] = {"path": tree, "readonly": False}
    spec["process"].update(args=list(command), terminal=False)
    # Hosts may have a layout of cgroups that runc does not mount, and limits that root cannot set.
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "cgroup"]
    spec["process"].pop("rlimits", None)
    with open(f"{folder}/config.json", "w") as file:
        json.dump(spec, file)
    return folder


def _percentiles(values):
    values = sorted(values)
    return {"p50_ms": round(statistics.median(values) * 1000, 1),
            "p99_ms": round(values[min(len(values) - 1, int(len(values) * 0.99))] * 1000, 1)}


def _dot():
    print(".", end="", file=sys.stderr, flush=True)


def _runs(lines, bundles, count):
    times = {line.name: [] for line in lines}
    for number in range(count + 1):
        for line in lines:
            seconds = line.seconds("run", "--bundle", bundles[line.name], f"run{number}")
            if number > 0:  # the first warms the host's caches
                times[line.name].append(seconds)
        _dot()
    return {name: round(statistics.median(values), 4) for name, values in times.items()}


def _guest_available_kib(kata):
    text = kata.call("exec", "idle", "cat", "/proc/meminfo", stdout=subprocess.PIPE, text=True).stdout
    return int(re.search(r"^MemAvailable:\s+(\d+)", text, re.M)[1])


def _shim_pss_kib(work):
    for pid, argv in processes():
        if os.path.basename(argv[0]) == "containerd-shim-kata-v2" and any(
                word.startswith(work) for word in argv[1:]):
            return pss_kib(pid)
    sys.exit("kata-bench: the container's shim is not there")


def _growth(kata, work, count):
    """What `count` execs leave behind in the shim and in the guest, after as many to warm up."""
    def some(number):
        for _ in range(number):
            kata.call("exec", "idle", "true")
        _dot()
    some(count // 5)
    before = _shim_pss_kib(work), _guest_available_kib(kata)
    for _ in range(10):
        some(count // 10)
    after = _shim_pss_kib(work), _guest_available_kib(kata)
    return {"execs": count, "shim_pss_kib": [before[0], after[0]],
            "guest_available_kib": [before[1], after[1]]}


def measure(programs, runs, execs):
    """programs: {name: (argv, environment)} of kata, runc and crun."""
    work = tempfile.mkdtemp(prefix="kb-", dir="/tmp")
    lines = [CommandLine(name, argv, work, env) for name, (argv, env) in programs.items()]
    started = []
    try:
        tree = image.write_tree(f"{work}/tree")
        bundles = {line.name: _bundle(line, work, tree, "true") for line in lines}
        result = {"run_s": _runs(lines, bundles, runs), "execs": execs}
        for line in lines:
            bundle = _bundle(line, work, tree, "sleep", "100000")
            started.append(line)
            line.call("run", "--detach", "--bundle", bundle, "idle", stdout=subprocess.DEVNULL)
        times = {line.name: [] for line in lines}
        states = {line.name: [] for line in lines}
        for number in range(execs + 20):
            for line in lines:
                seconds = line.seconds("exec", "idle", "true")
                state = line.seconds("state", "idle")
                if number >= 20:  # a guest under emulation first translates the code
                    times[line.name].append(seconds)
                    states[line.name].append(state)
            if number % 20 == 0:
                _dot()
        result["exec"] = {name: _percentiles(values) for name, values in times.items()}
        result["state"] = {name: _percentiles(values) for name, values in states.items()}
        result["growth"] = _growth(lines[0], work, execs * 5)
        print(file=sys.stderr)
        return result
    finally:
        for line in started:
            subprocess.run([*line.argv, "delete", "--force", "idle"], env=line.env,
                           capture_output=True)
        shutil.rmtree(work, ignore_errors=True)


def rows(result):
    """[(name, value)] for people."""
    run, found = result["run_s"], []
    for name in ("kata", "runc", "crun"):
        found.append((f"{name}: run of true", f"{run[name] * 1000:.0f} ms"))
    found.append(("  kata / runc, kata / crun",
                  f"{run['kata'] / run['runc']:.1f} x, {run['kata'] / run['crun']:.1f} x"))
    for what, title in (("exec", "exec of true"), ("state", "state")):
        for name, times in result[what].items():
            found.append((f"{name}: {title}, p50 / p99", f"{times['p50_ms']} / {times['p99_ms']} ms"))
        ratios = [result[what]["kata"][p] / result[what]["runc"][p] for p in ("p50_ms", "p99_ms")]
        found.append(("  kata / runc", f"{ratios[0]:.2f} x / {ratios[1]:.2f} x"))
    growth = result["growth"]
    found.append((f"shim memory (PSS) before and after {growth['execs']} execs",
                  "{} and {} KiB".format(*growth["shim_pss_kib"])))
    found.append((f"guest's free memory before and after {growth['execs']} execs",
                  "{} and {} KiB".format(*growth["guest_available_kib"])))
    return found
