# SPDX-License-Identifier: Apache-2.0
"""Processes of the run's PID namespace: which are new, what they hold, and how to end them."""

import glob
import os
import re
import signal
import time

from testbed import isolation


def table():
    """{(pid, start time): name} of all that is not this process or its init."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                text = file.read()
        except OSError:
            continue
        name, fields = text[text.index("(") + 1:text.rindex(")")], text.rsplit(")", 1)[1].split()
        pid = int(path.split("/")[2])
        if pid not in (1, os.getpid()) and fields[0] not in "ZX":
            found[pid, int(fields[19])] = name
    return found


def pss_kib(pid):
    """Proportional share of memory; 0 for a process that has ended, or a kernel thread."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            match = re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


def memory(processes):
    """(KiB in all, {name: KiB}) of the table's processes."""
    parts = {}
    for (pid, _), name in processes.items():
        parts[name] = parts.get(name, 0) + pss_kib(pid)
    return sum(parts.values()), {name: kib for name, kib in parts.items() if kib}


def program(pid):
    """The name of the program's file; empty for a process that has ended."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def cpu_ticks(processes):
    ticks = 0
    for pid, _ in processes:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def settle(seconds=10, quiet_ticks=8):
    """Waits until all processes together use less than 8 ticks in half a second, at most so long."""
    deadline, before = time.monotonic() + seconds, cpu_ticks(table())
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = cpu_ticks(table())
        if now - before < quiet_ticks:
            return True
        before = now
    return False


def descendants():
    """Process ids of this process's children, their children and so on."""
    children = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.split("/")[2]))
    found, todo = set(), [os.getpid()]
    while todo:
        new = children.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found


def kill_new(known):
    """Ends every process that is not in the table `known`; what a runtime that hangs has left.

    In a PID namespace of the run's own these are all new ones, whoever their parent is by now. Elsewhere
    a new process may be anybody's, so only descendants of this process count.
    """
    ours = None if isolation.inside() else descendants()
    for pid, _ in table().keys() - known.keys():
        if ours is not None and pid not in ours:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
