# SPDX-License-Identifier: Apache-2.0
"""kata-bench run."""

import json
import os
import re
import shlex
import shutil
import sys
import time

from testbed.containerd import fetch as fetch_containerd
from testbed.docker import fetch as fetch_docker
from testbed.process import BedError

from . import discover, journal, machine, metrics, plan, results, rootfs, runtimes, tools
from .progress import Progress
from .supervisor import Supervisor, now

NEEDS = {"unshare": "util-linux", "nsenter": "util-linux", "losetup": "util-linux", "ip": "iproute2",
         "gcc": "gcc libc6-dev"}


class Usage(Exception):
    """A wrong option, or something that is missing on this machine; the message says what to do."""


def _check_machine():
    if os.geteuid() != 0:
        raise Usage("needs root: run it with sudo")
    missing = sorted({package for program, package in NEEDS.items() if not shutil.which(program)})
    if missing:
        raise Usage(f"programs are missing: apt-get install {' '.join(missing)}")


def _settings(options, groups):
    return {"via": options.via, "quick": options.quick, "only": groups, "rounds": options.rounds,
            "seed": options.seed, "memory_mib": options.memory, "containerd": options.containerd,
            "command": shlex.join(["kata-bench", *sys.argv[1:]])}


def _output(options):
    path = options.output or f"kata-bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise Usage(f"--output {path}: no folder that can be written in")
    return os.path.abspath(path)


def _find(options, say):
    say("looks for runtimes")
    found = discover.Discovery(options, say).run(options.runtimes)
    for name, how in found.absent.items():
        say(f"{name} is absent: {how}")
    if not found.found:
        raise Usage("no runtime to measure")
    names = [runtime.name for runtime in found.found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Usage(f"two runtimes are called {', '.join(sorted(twice))}")
    return found


def _fetch_front(options):
    """The worker has no network: what it needs is fetched before."""
    if options.via == "ctr":
        fetch_containerd(options.containerd)
    elif options.via == "docker":
        fetch_docker(options.containerd)


def seconds_of(options):
    if options.minutes:
        return options.minutes * 60
    return plan.QUICK_SECONDS if options.quick else plan.SECONDS


def main(options, program):
    def say(text):
        print(text, file=sys.stderr, flush=True)
    groups = plan.groups_of(options.only) if options.only else list(metrics.GROUPS)
    _check_machine()
    path = _output(options)
    for token in journal.clean_dead():
        say(f"cleaned up after run {token}, which was killed")
    found = _find(options, say)
    say("fetches and compiles what containers are to run")
    os.environ.setdefault("KATA_BUSYBOX", tools.busybox())
    folder_of_tools, probe = tools.Tools().folder, rootfs.compile_probe()
    try:
        _fetch_front(options)
    except BedError as error:
        raise Usage(str(error)) from None
    the_plan = plan.Plan(options.quick, groups, seconds_of(options), options.rounds, options.seed)
    collector = results.Collector(_settings(options, groups), machine.describe(), now())
    for name, how in found.absent.items():
        collector.take({"event": "absent", "name": name, "how": how})
    progress = Progress([(group, plan.SHARES[group]) for group in groups], the_plan.seconds)
    traces = []

    def on_event(event):
        collector.take(event)
        progress.take(event)
        if event["event"] == "trace" or "trace" in event:
            traces.append(event.get("trace") or event["text"])
    begin = time.monotonic()
    complete, ended = Supervisor(program, on_event).run({
        "plan": the_plan.to_json(), "via": options.via, "memory_mib": options.memory,
        "kata_settings": {"rootfs_layers": False} if options.shared_roots else {},
        "containerd": options.containerd, "tools": folder_of_tools, "probe": probe,
        "runtimes": [runtimes.to_json(runtime) for runtime in found.found]})
    progress.close()
    data = collector.finish(time.monotonic() - begin, complete, ended)
    results.write(data, path)
    if options.debug and traces:
        say("\n".join(traces))
    _tell(options, data, path, say)
    return 0 if complete else 130 if re.match("interrupted", ended) else 1


def _tell(options, data, path, say):
    from .report import table
    if options.json:
        json.dump(data, sys.stdout, indent=1)
        print()
    else:
        print(table.render(data))
    if not data["complete"]:
        say(f"kata-bench: not complete: {data['ended']}")
    shown = os.path.relpath(path)
    say(f"written: {shown}, after {data['seconds']:.0f} s; kata-bench report {shown} makes a page of it")
