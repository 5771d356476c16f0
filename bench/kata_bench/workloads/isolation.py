# SPDX-License-Identifier: Apache-2.0
"""Evidence of isolation: what a container sees, and what of the host's kernel its code can reach."""

import re

from .. import processes, seccomp
from ..commands import Failed
from ..fronts.front import Needs

SYSCALLS = "isolation.host_syscalls"
# One line a fact, "key value"; a program that fails gives an empty one.
LOOK = r"""
boot=$(cat /proc/sys/kernel/random/boot_id); echo "boot_id $boot"
echo "kernel $(uname -r)"
echo "cpu $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "cpus $(grep -c ^processor /proc/cpuinfo)"
echo "memory $(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
echo "proc $(ls /proc | grep -vc '^[0-9]')"
echo "modules $(wc -l </proc/modules 2>/dev/null || echo none)"
echo "interfaces $(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev 2>/dev/null | tr '\n' ' ')"
echo "dmesg $(dmesg 2>/dev/null | wc -l)"
echo "devices $(find /dev -type b -o -type c 2>/dev/null | wc -l)"
echo "partitions $(awk 'NR > 2 { print $4 }' /proc/partitions 2>/dev/null | tr '\n' ' ')"
echo "mounts $(grep -c -E 'upperdir=/|lowerdir=/|^[0-9]+ [0-9]+ [0-9:]+ /(var|home|root|tmp)' /proc/self/mountinfo)"
"""
NESTED = r"""
mkdir -p /work/n && mount -t tmpfs n /work/n && cd /work/n && mkdir l u w m &&
mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m && touch m/x &&
unshare -m -p -n -u -i -f true && echo works
"""
# Processes that run the container's code, or on whose behalf a VMM runs it.
RUNS_CODE = {"kata": r"^qemu|^cloud-hyp|^firecracker", "kata-upstream": r"^qemu|^cloud-hyp|^firecracker",
             "runsc": r"^exe$|^runsc-sandbox|^runsc"}


def _host_boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _host_disks():
    with open("/proc/partitions") as file:
        return {line.split()[3] for line in file.readlines()[2:]}


def seen(text, host_boot_id, host_disks):
    """Facts from the output of LOOK."""
    values = dict(line.split(" ", 1) if " " in line else (line, "") for line in text.splitlines())
    disks = set(values.get("partitions", "").split()) & host_disks
    same_kernel = values.get("boot_id", "").strip() == host_boot_id
    return {"own_kernel": not same_kernel, "kernel": values.get("kernel", ""),
            "cpu": values.get("cpu", "").strip(), "cpus": values.get("cpus", ""),
            "memory": f"{int(values.get('memory') or 0) // 1024} MiB",
            "proc": values.get("proc", ""), "modules": values.get("modules", "").strip() or "none",
            "interfaces": values.get("interfaces", "").strip() or "none",
            "dmesg": same_kernel and int(values.get("dmesg") or 0) > 0,
            "devices": values.get("devices", ""),
            # A guest's own disk may be called as one of the host's; then it is not the host's.
            "host_devices": same_kernel and bool(disks),
            "host_paths": same_kernel and int(values.get("mounts") or 0) > 0}


def filters(new):
    """{process's name: calls left} of the processes that can be looked at."""
    found = {}
    for (pid, _), name in sorted(new.items()):
        try:
            left = seccomp.count(seccomp.filters_of(pid))
        except OSError as error:
            found.setdefault(name, f"cannot be read: {error.strerror}")
            continue
        if left is not None:
            found[name] = max(left, found[name]) if isinstance(found.get(name), int) else left
    return found


def chosen(runtime, found):
    """Of {process: calls left}, the number of the process that runs the container's code; None if none."""
    if runtime.family in RUNS_CODE:
        numbers = [left for name, left in found.items()
                   if isinstance(left, int) and re.search(RUNS_CODE[runtime.family], name)]
        return max(numbers, default=None)
    return found.get("sleep") if isinstance(found.get("sleep"), int) else None


def _look(bench, runtime):
    before = processes.table()
    box = bench.front.start_box(runtime, Needs(), bench.timeout(runtime, 30))
    try:
        facts = seen(bench.inside(box, "sh", "-c", LOOK), _host_boot_id(), _host_disks())
        new = {key: name for key, name in processes.table().items() if key not in before}
        found = filters(new)
    finally:
        bench.front.remove(box)
    facts["filters"] = "; ".join(f"{name}: {left}" for name, left in sorted(found.items()))
    bench.emit({"event": "facts", "runtime": runtime.name, "facts": facts})
    left = chosen(runtime, found)
    return {} if left is None else {SYSCALLS: left}


def _nested(bench, runtime):
    try:
        box = bench.front.start_box(runtime, Needs(privileged=True), bench.timeout(runtime, 30))
        try:
            works = "works" in bench.inside(box, "sh", "-c", NESTED)
        finally:
            bench.front.remove(box)
    except Failed as error:
        works = False
        bench.emit({"event": "note", "text": f"{runtime.name}: no containers inside: {error}"})
    bench.emit({"event": "facts", "runtime": runtime.name, "facts": {"nested": works}})
    return {}


def measure(bench):
    for _, runtime in bench.rounds(bench.steady(), 1, warm_up=False, what="looks at isolation"):
        bench.attempt(runtime, [SYSCALLS], lambda: _look(bench, runtime))
        if bench.goes_on(runtime):
            bench.attempt(runtime, [], lambda: _nested(bench, runtime))

