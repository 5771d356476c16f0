# SPDX-License-Identifier: Apache-2.0
"""A made-up result, with every kind of cell in it."""

import random

from . import ROOT  # noqa: F401
from kata_bench import results

MACHINE = {"cpu": "Example CPU", "cpus": 4, "memory_mib": 16384, "kernel": "6.1.0-example",
           "architecture": "x86_64", "system": "Example Linux 12", "kvm": "no /dev/kvm",
           "runs_in": "none", "cgroups": "v2", "file_system": "ext4"}
SETTINGS = {"via": "oci", "quick": True, "only": ["start", "exec", "io", "memory", "isolation"],
            "rounds": 0, "seed": 1, "memory_mib": 256, "containerd": "1.6",
            "command": "kata-bench run --quick"}
RUNTIMES = [
    {"name": "runc", "family": "runc", "kind": "the host's kernel", "version": "1.1.5",
     "path": "/usr/sbin/runc", "accelerator": "", "mode": "", "notes": []},
    {"name": "runsc", "family": "runsc", "kind": "a kernel in user space", "version": "2025",
     "path": "/usr/bin/runsc", "accelerator": "", "mode": "",
     "notes": ["without control groups: it refuses this host's layout of them"]},
    {"name": "kata (cold)", "family": "kata", "kind": "a virtual machine", "version": "0.1",
     "path": "/usr/bin/kata-runtime", "accelerator": "tcg", "mode": "cold",
     "notes": ["emulated VM"]},
    {"name": "kata (template)", "family": "kata", "kind": "a virtual machine", "version": "0.1",
     "path": "/usr/bin/kata-runtime", "accelerator": "tcg", "mode": "template", "notes": []},
]
FACTS = {
    "runc": {"own_kernel": False, "kernel": "6.1.0-example", "dmesg": True, "host_devices": True,
             "nested": True, "filters": "sleep: 463"},
    "runsc": {"own_kernel": True, "kernel": "4.4.0", "dmesg": False, "host_devices": False,
              "nested": False, "filters": "exe: 74"},
    "kata (template)": {"own_kernel": True, "kernel": "6.12", "dmesg": False, "host_devices": False,
                        "nested": True, "filters": "qemu-system-x86: 301"},
}


def samples(middle, count, seed):
    source = random.Random(seed)
    return [round(middle * source.uniform(0.9, 1.1), 3) for _ in range(count)]


def result(slower=1.0, via="oci"):
    """slower multiplies the starts of runc."""
    found = results.Collector({**SETTINGS, "via": via}, MACHINE, "2026-01-02T03:04:05Z")
    for runtime in RUNTIMES:
        found.take({"event": "runtime", "runtime": runtime})
    found.take({"event": "absent", "name": "crun", "how": "apt-get install crun"})

    def add(metric, runtime, middle, count):
        found.take({"event": "samples", "metric": metric, "runtime": runtime,
                    "samples": samples(middle, count, len(found.data["values"]))})
    for runtime, middle in (("runc", 30 * slower), ("runsc", 180), ("kata (cold)", 1500),
                            ("kata (template)", 210)):
        add("start.run", runtime, middle, 5)
        add("memory.idle", runtime, {"runc": 1.5, "runsc": 30}.get(runtime, 150), 3)
    for runtime, middle in (("runc", 20), ("runsc", 30), ("kata (template)", 16)):
        add("exec.true", runtime, middle, 40)
        add("syscall.open", runtime, {"runc": 150000, "runsc": 45000}.get(runtime, 9000), 3)
        add("cpu.sysbench", runtime, {"kata (template)": 4000}.get(runtime, 40000), 3)
        add("network.rate", runtime, {"runc": 4000, "runsc": 2500}.get(runtime, 270), 3)
        add("network.single", runtime, {"runc": 0.3, "runsc": 0.5}.get(runtime, 4.4), 50)
    add("memory.shim", "kata (cold)", 4.2, 2)
    add("isolation.host_syscalls", "runc", 463, 1)
    add("isolation.host_syscalls", "runsc", 74, 1)
    add("isolation.host_syscalls", "kata (template)", 301, 1)
    add("io.block.seqread", "runc", 5000, 2)
    found.take({"event": "unsupported", "metric": "io.block.seqread", "runtime": "runsc",
                "reason": "the container cannot read a block device: no | such <device>"})
    found.take({"event": "error", "metric": "io.block.seqread", "runtime": "kata (template)",
                "reason": "fio: exit code 1: hung up"})
    found.take({"event": "samples", "metric": "memory.density", "runtime": "runc", "samples": [680.0],
                "note": "40 containers held 60 MiB; 40 were enough"})
    for runtime, facts in FACTS.items():
        found.take({"event": "facts", "runtime": runtime, "facts": facts})
    found.take({"event": "noise", "noise": {
        "samples": 12, "spin_ms": 20.1, "spin_variation": 0.02, "spin_worst_over_best": 1.1,
        "steal": 0.001, "load_at_begin": 0.2, "load_highest": 1.4}})
    return found.finish(93.4, True, "complete")
