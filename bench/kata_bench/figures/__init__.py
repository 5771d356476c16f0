# SPDX-License-Identifier: Apache-2.0
"""kata-bench figures: what a container in a VM costs, in the figures that SPECIFICATION.md has.

start: runs `ctr run --rm IMAGE true` by turns with kata and runc under one private containerd, looks
at one running sandbox, and measures the installed files. oci: runs, execs and asks for the state of
containers by turns with kata-runtime, runc and crun, and looks for memory that execs leave behind.
network: throughput, request rate and latency of a container, beside a guest on a bare tap and runc.
many: containers that idle beside each other, that start at once, and that come and go for long.
disks: root file systems that are directories beside such that are disks.
layers: the host's memory for containers of one large image.
"""

import functools
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from testbed.containerd import Containerd, fetch
from testbed.runtime import Kata, Runc, processes

from .. import tools
from ..processes import pss_kib
from . import disks, layers, many, network, oci
from .phases import medians, phases_of

def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def timed_run(bed, runtime, number):
    bed.runtime = runtime
    begin = time.monotonic()
    bed.run(f"{runtime.name}{number}", ["true"], "--rm", timeout=120, check=True)
    return time.monotonic() - begin


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return set(map(int, file.read().split()))


def sandbox_figures(bed, runtime):
    """Memory, processes and idle CPU of one sandbox that sleeps."""
    bed.runtime = runtime
    bed.run_detached("idle", ["sleep", "1000"])
    victims = runtime.victims(bed, "idle")
    shim = victims["shim"]
    # virtiofsd has a sandboxed child.
    pids = set(victims.values()) | children_of(victims["virtiofsd"])
    of_sandbox = {pid: os.path.basename(argv[0]) for pid, argv in processes() if pid in pids}
    # The figure of an idle shim: threads of its start have ended after their idle time.
    before = None
    for _ in range(20):
        ticks = cpu_ticks(shim)
        if ticks == before:
            break
        before = ticks
        time.sleep(1)
    begin = cpu_ticks(shim)
    time.sleep(5)
    figures = {"shim_pss_kib": pss_kib(shim), "shim_idle_cpu_ticks_in_5_s": cpu_ticks(shim) - begin,
               "processes": sorted(of_sandbox.values()),
               "sandbox_pss_mib": sum(pss_kib(pid) for pid in of_sandbox) // 1024}
    bed.remove("idle")
    return figures


def sizes(options):
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-s", "-o", stripped.name, f"{options.bin}/kata-agent"], check=True)
        agent = os.path.getsize(stripped.name)
    return {"agent_bytes": agent,
            "initrd_bytes": os.path.getsize(f"{options.guest}/kata-containers-initrd.img"),
            "kernel_bytes": os.path.getsize(f"{options.guest}/vmlinux.container")}


def make_kata(options):
    kata = Kata(options.bin, f"{options.guest}/vmlinux.container",
                f"{options.guest}/kata-containers-initrd.img")
    kata.memory_mib = options.memory
    kata.templates = options.templates
    return kata


def make_bed(options, runtime, containerd=None, **settings):
    """A containerd that runs and has the image."""
    bed = Containerd(fetch(containerd or options.containerd)[1], runtime, **settings)
    try:
        bed.start()
        bed.import_image()
    except BaseException:
        bed.destroy()
        raise
    return bed


def measure_many(options):
    warm = make_kata(options)
    warm.start_from = "warm"
    return many.measure(functools.partial(make_bed, options), make_kata(options), warm, Runc(), options)


def measure_layers(options):
    return layers.measure(functools.partial(make_bed, options), make_kata(options), Runc(), options.readers)


def measure_disks(options):
    with_disks = functools.partial(make_bed, options, containerd="2.1", snapshotter="blockfile")
    return disks.measure(with_disks, make_kata(options), Runc(), options.runs)


def measure_oci(options):
    kata = make_kata(options)
    crun, libraries = tools.crun()
    with tempfile.TemporaryDirectory(prefix="kb-conf-") as folder:
        kata.prepare(folder)
        lines = {"kata": ([f"{options.bin}/kata-runtime"], kata.environment()),
                 "runc": ([tools.runc()], {}),
                 # It refuses layouts of cgroups that are neither version.
                 "crun": ([crun, "--cgroup-manager=disabled"],
                          libraries)}
        return oci.measure(lines, options.runs, options.execs)


def measure_start(options):
    kata = make_kata(options)
    runc = Runc()
    version = fetch(options.containerd)[0]
    bed = make_bed(options, kata)
    try:
        timed_run(bed, kata, "warm")
        timed_run(bed, runc, "warm")
        times = {"kata": [], "runc": []}
        for number in range(options.runs):
            for runtime in (kata, runc):
                times[runtime.name].append(timed_run(bed, runtime, number))
                print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        with open(bed.log, errors="replace") as file:
            log = file.read()
        rows = [phases_of(log, f"kata{number}") for number in range(options.runs)]
        figures = sandbox_figures(bed, kata)
    finally:
        bed.remove_all()
        bed.stop()
        bed.destroy()
    median = {name: statistics.median(values) for name, values in times.items()}
    accelerator = re.search(r"msg=\"?accelerator\"?.*kind=(\w+)", log)
    return {"containerd": version, "accelerator": accelerator[1] if accelerator else "unknown",
            "runs": options.runs, "vm_memory_mib": options.memory,
            "ctr_run_kata_s": round(median["kata"], 3), "ctr_run_runc_s": round(median["runc"], 3),
            "ratio": round(median["kata"] / median["runc"], 1),
            "phases_ms": medians(rows),
            **figures, **sizes(options)}


def measure_network(options):
    kata = make_kata(options)
    bed = make_bed(options, kata)
    try:
        figures = network.measure(bed, kata, Runc(), tools.Tools().argv("wrk"), options.runs)
        with open(bed.log, errors="replace") as file:
            phases = phases_of(file.read(), "net-veth")
        return {**figures, **{f"start_{name}_ms": phases.get(name, 0)
                              for name in ("nics", "discover", "connect", "configure_guest",
                                           "network")}}
    finally:
        bed.remove_all()
        bed.stop()
        bed.destroy()


def show_start(result):
    print(f"containerd {result['containerd']}, accelerator {result['accelerator']}, "
          f"{result['runs']} runs each, VM of {result['vm_memory_mib']} MiB\n")
    lines = [("ctr run --rm ... true, kata", f"{result['ctr_run_kata_s']:.2f} s"),
             ("ctr run --rm ... true, runc", f"{result['ctr_run_runc_s']:.2f} s"),
             ("ratio", f"{result['ratio']} x")]
    lines += [(f"  {phase}", f"{ms} ms") for phase, ms in result["phases_ms"].items()]
    lines += [("shim memory (PSS)", f"{result['shim_pss_kib'] / 1024:.1f} MiB"),
              ("shim CPU in 5 idle seconds", f"{result['shim_idle_cpu_ticks_in_5_s'] * 10} ms"),
              ("whole sandbox (PSS)", f"{result['sandbox_pss_mib']} MiB"),
              ("processes of a sandbox", f"{len(result['processes'])}: "
                                         f"{', '.join(result['processes'])}"),
              ("agent, stripped", f"{result['agent_bytes'] / 2**20:.2f} MiB"),
              ("initrd", f"{result['initrd_bytes'] / 2**20:.2f} MiB"),
              ("kernel", f"{result['kernel_bytes'] / 2**20:.1f} MiB")]
    print_table(lines)


def print_table(lines):
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:{width}}  {value}")
    print()


def leave_hybrid_cgroups(program):
    """Goes on in a mount namespace without version 2 beside version 1, a layout that crun refuses."""
    if os.path.ismount("/sys/fs/cgroup/unified"):
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                              "umount /sys/fs/cgroup/unified; exec \"$@\"", "sh", sys.executable,
                              program, *sys.argv[1:]])


def main(options, program):
    options.bin, options.guest = os.path.abspath(options.bin), os.path.abspath(options.guest)
    if os.geteuid() != 0:
        sys.exit("kata-bench: needs root: run it with sudo")
    for path in (f"{options.bin}/containerd-shim-kata-v2", f"{options.guest}/vmlinux.container"):
        if not glob.glob(path):
            sys.exit(f"kata-bench: no {path}: run scripts/build first")
    leave_hybrid_cgroups(program)
    groups = {"start": (measure_start, show_start),
              "oci": (measure_oci, lambda result: print_table(oci.rows(result))),
              "network": (measure_network, lambda result: print_table(list(result.items()))),
              "many": (measure_many, lambda result: print_table(many.rows(result))),
              "disks": (measure_disks, lambda result: print_table(disks.rows(result))),
              "layers": (measure_layers, lambda result: print_table(layers.rows(result)))}
    results = {}
    with tempfile.TemporaryDirectory(prefix="kb-templates-", dir="/var/tmp") as options.templates:
        for name, (measure, show) in groups.items():
            if options.only in (None, name):
                results[name] = measure(options)
                if not options.json:
                    show(results[name])
    if options.json:
        print(json.dumps(results, indent=2))
    return 0
