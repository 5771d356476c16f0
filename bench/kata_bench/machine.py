# SPDX-License-Identifier: Apache-2.0
"""Which machine this is: what every figure is to be read with."""

import os
import platform
import re
import subprocess


def _read(path, default=""):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return default


def _field(text, name, default="unknown"):
    match = re.search(rf"^{re.escape(name)}\s*[:=]\s*\"?(.*?)\"?$", text, re.MULTILINE)
    return match[1].strip() if match else default


def cgroup_layout(mounts=None):
    kinds = {line.split()[2] for line in (mounts or _read("/proc/mounts")).splitlines()
             if line.split()[1].startswith("/sys/fs/cgroup")}
    if {"cgroup", "cgroup2"} <= kinds:
        return "hybrid"
    return "v2" if "cgroup2" in kinds else "v1" if "cgroup" in kinds else "none"


def _virtualization():
    """What the machine itself runs on, as systemd-detect-virt would say; "none" on bare metal."""
    vendor = _read("/sys/class/dmi/id/sys_vendor").strip()
    if "hypervisor" in _field(_read("/proc/cpuinfo"), "flags", "").split():
        return f"a virtual machine ({vendor})" if vendor else "a virtual machine"
    return "none"


def _file_system(path):
    done = subprocess.run(["findmnt", "--noheadings", "--output", "FSTYPE", "--target", path],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def describe(folder="/var/tmp"):
    """{key: text or number}; folder is where containers' files will lie."""
    cpu = _read("/proc/cpuinfo")
    memory = _field(_read("/proc/meminfo"), "MemTotal", "0 kB").split()[0]
    return {"cpu": _field(cpu, "model name"), "cpus": os.cpu_count(),
            "memory_mib": int(memory) // 1024, "kernel": platform.release(),
            "architecture": platform.machine(),
            "system": _field(_read("/etc/os-release"), "PRETTY_NAME"),
            "kvm": "/dev/kvm is there" if os.path.exists("/dev/kvm") else "no /dev/kvm",
            "runs_in": _virtualization(), "cgroups": cgroup_layout(),
            "file_system": _file_system(folder)}


def summary(machine):
    return (f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_mib'] / 1024:.1f} GiB, "
            f"{machine['system']}, Linux {machine['kernel']} ({machine['architecture']}), cgroups "
            f"{machine['cgroups']}, {machine['file_system']}, {machine['kvm']}; it runs in: "
            f"{machine['runs_in']}")
