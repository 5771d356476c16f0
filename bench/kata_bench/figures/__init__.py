#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kata-bench: what a container in a VM costs here, beside runc and crun in the same run.

  kata-bench                 tables
  kata-bench --only oci      one group: start (under containerd), oci (the command line), network
  kata-bench --json          the same for programs
  kata-bench --runs 10       more containers for each median (5 at first)
  kata-bench --execs 200     more execs for each percentile (100 at first)

start: runs `ctr run --rm IMAGE true` by turns with kata and runc under one private containerd, looks
at one running sandbox, and measures the installed files. oci: runs, execs and asks for the state of
containers by turns with kata-runtime, runc and crun, and looks for memory that execs leave behind.
network: throughput, request rate and latency of a container, beside a guest on a bare tap and runc.
Needs root and scripts/build. Leaves nothing.
"""

import argparse
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [f"{ROOT}/tests", f"{ROOT}/bench"]
sys.dont_write_bytecode = True

import network  # noqa: E402
import oci_figures  # noqa: E402
from support.containerd import Containerd, fetch  # noqa: E402
from support.runtime import Kata, Runc, processes  # noqa: E402

PHASES = re.compile(r'msg="(machine booted|network changed|container created|container started)"'
                    r'.*?phases="?([^"]*)"? ')
PHASE = re.compile(r"(\w+)=([\d.]+)ms")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["start", "oci", "network"], help="one group of figures")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--execs", type=int, default=100)
    parser.add_argument("--memory", type=int, default=256, help="MiB of the VM (256)")
    parser.add_argument("--containerd", default="1.6", choices=["1.6", "1.7", "2.1"])
    parser.add_argument("--bin", default=f"{ROOT}/build/release/bin")
    parser.add_argument("--guest", default=f"{ROOT}/build/guest")
    return parser.parse_args()


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def timed_run(bed, runtime, number):
    bed.runtime = runtime
    begin = time.monotonic()
    bed.run(f"{runtime.name}{number}", ["true"], "--rm", timeout=120, check=True)
    return time.monotonic() - begin


def phases_of(log, name):
    """{phase: ms} of one container, from the shim's log lines in containerd's log."""
    found = {}
    for line in log.splitlines():
        if f"sandbox={name} " in line:
            match = PHASES.search(line)
            if match:
                found.update({phase: float(ms) for phase, ms in PHASE.findall(match[2])})
    return found


def sandbox_figures(bed, runtime):
    """Memory, processes and idle CPU of one sandbox that sleeps."""
    bed.runtime = runtime
    bed.run_detached("idle", ["sleep", "1000"])
    shim = runtime.shim_pid(bed, "idle")
    of_sandbox = {pid: os.path.basename(argv[0]) for pid, argv in processes()
                  if pid == shim or any("idle" in word for word in argv[1:])
                  and os.path.basename(argv[0]).startswith(("qemu", "virtiofsd"))}
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
    return kata


def unpacked(package):
    """Folder of a Debian package of this release, unpacked beside the system."""
    script = (f"for part in common debs; do . {ROOT}/scripts/lib/$part.sh; done; "
              f"unpack_deb bookworm {package}")
    return subprocess.check_output(["bash", "-euc", script], text=True).strip()


def measure_oci(options):
    kata = make_kata(options)
    runc, crun = f"{unpacked('runc')}/usr/sbin/runc", f"{unpacked('crun')}/usr/bin/crun"
    libraries = glob.glob(f"{unpacked('libyajl2')}/usr/lib/*")
    with tempfile.TemporaryDirectory(prefix="kb-conf-") as folder:
        kata.prepare(folder)
        lines = {"kata": ([f"{options.bin}/kata-runtime"], kata.environment()),
                 "runc": ([runc], {}),
                 # It refuses layouts of cgroups that are neither version.
                 "crun": ([crun, "--cgroup-manager=disabled"],
                          {"LD_LIBRARY_PATH": ":".join(libraries)})}
        return oci_figures.measure(lines, options.runs, options.execs)


def measure_start(options):
    kata = make_kata(options)
    runc = Runc()
    version, folder = fetch(ROOT, options.containerd)
    bed = Containerd(folder, kata)
    try:
        bed.start()
        bed.import_image()
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
            "phases_ms": {phase: round(statistics.median(row.get(phase, 0) for row in rows), 1)
                          for phase in (rows[0] if rows else {})},
            **figures, **sizes(options)}


def wrk():
    """How to call Debian's wrk, unpacked beside the system."""
    libraries = glob.glob(f"{unpacked('libluajit-5.1-2')}/usr/lib/*-linux-gnu")
    return ["env", f"LD_LIBRARY_PATH={':'.join(libraries)}", f"{unpacked('wrk')}/usr/bin/wrk"]


def measure_network(options):
    kata = make_kata(options)
    _, folder = fetch(ROOT, options.containerd)
    bed = Containerd(folder, kata)
    try:
        bed.start()
        bed.import_image()
        figures = network.measure(bed, kata, Runc(), wrk(), options.runs)
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


def leave_hybrid_cgroups():
    """Goes on in a mount namespace without version 2 beside version 1, a layout that crun refuses."""
    if os.path.ismount("/sys/fs/cgroup/unified"):
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                              "umount /sys/fs/cgroup/unified; exec \"$@\"", "sh", sys.executable,
                              *sys.argv])


def main():
    options = parse()
    options.bin, options.guest = os.path.abspath(options.bin), os.path.abspath(options.guest)
    if os.geteuid() != 0:
        sys.exit("kata-bench: needs root: run it with sudo")
    for path in (f"{options.bin}/containerd-shim-kata-v2", f"{options.guest}/vmlinux.container"):
        if not glob.glob(path):
            sys.exit(f"kata-bench: no {path}: run scripts/build first")
    leave_hybrid_cgroups()
    groups = {"start": (measure_start, show_start),
              "oci": (measure_oci, lambda result: print_table(oci_figures.rows(result))),
              "network": (measure_network, lambda result: print_table(list(result.items())))}
    results = {}
    for name, (measure, show) in groups.items():
        if options.only in (None, name):
            results[name] = measure(options)
            if not options.json:
                show(results[name])
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
