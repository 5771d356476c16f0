# SPDX-License-Identifier: Apache-2.0
"""Every figure that kata-bench measures: what it is called, its unit, and between which marks it lies."""

from dataclasses import dataclass

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Metric:
    """id is what results, rules and promises name it by; a latency's distribution is drawn too."""

    id: str
    title: str
    unit: str
    better: str
    marks: str
    command: str = ""
    latency: bool = False
    tail: float = 0.0  # also a figure of the table: this percentile

    @property
    def group(self):
        return self.id.split(".")[0]


GROUPS = {
    "start": "Start",
    "exec": "Exec",
    "syscall": "System calls",
    "cpu": "Processor and memory bandwidth",
    "io": "File input and output",
    "files": "Many small files",
    "network": "Network",
    "memory": "Memory",
    "isolation": "Isolation",
}
# What people also call them.
ALIASES = {"startup": "start", "syscalls": "syscall", "net": "network", "mem": "memory",
           "density": "memory", "fs": "files", "fio": "io"}

PLACES = {"rootfs": "root file system", "bind": "bind mount", "tmpfs": "tmpfs",
          "block": "block volume"}
_FIO = {"seqread": ("sequential read", "MiB/s", "--rw=read --bs=128k"),
        "seqwrite": ("sequential write", "MiB/s", "--rw=write --bs=128k"),
        "randread": ("random read of 4 KiB", "op/s", "--rw=randread --bs=4k"),
        "randwrite": ("random write of 4 KiB", "op/s", "--rw=randwrite --bs=4k"),
        "sync": ("write of 4 KiB with fsync", "op/s", "--rw=write --bs=4k --fsync=1")}


def _io():
    for place, where in PLACES.items():
        for job, (title, unit, options) in _FIO.items():
            yield Metric(f"io.{place}.{job}", f"{where}: {title}", unit, HIGHER,
                         "fio's own figure; buffered, one job, file dropped from the cache before",
                         f"fio --ioengine=psync {options}")


_ALL = [
    Metric("start.run", "one command: create, run, remove", "ms", LOWER,
           "the command is started → it has ended", "RUNTIME run ... probe hello", True),
    Metric("start.first", "until the program's first instruction", "ms", LOWER,
           "the command is started → the container's first byte of output arrives",
           "RUNTIME run ... probe hello", True),
    Metric("start.gone", "from the program's end until all is gone", "ms", LOWER,
           "the container's output ends → the command has ended", "RUNTIME run ... probe hello"),
    Metric("start.create", "create alone", "ms", LOWER,
           "the command create is started → it has ended", "RUNTIME create"),
    Metric("start.start", "start alone, until the first instruction", "ms", LOWER,
           "the command start is started → the container's first byte of output arrives",
           "RUNTIME start"),
    Metric("start.delete", "delete alone", "ms", LOWER,
           "the command delete is started → it has ended", "RUNTIME delete"),
    Metric("start.parallel", "10 at once: until all are gone", "ms", LOWER,
           "10 commands are started → the last has ended", "10 × RUNTIME run ... probe hello"),
    Metric("start.parallel_first", "10 at once: each until its first instruction", "ms", LOWER,
           "the commands are started → that container's first byte of output arrives",
           "10 × RUNTIME run ... probe hello", True),
    Metric("exec.true", "a program in a running container", "ms", LOWER,
           "the command exec is started → it has ended", "RUNTIME exec ... true", True, 0.99),
    Metric("syscall.getpid", "getpid", "call/s", HIGHER, "a loop in the container, by its clock",
           "probe getpid"),
    Metric("syscall.stat", "stat of a file in the root file system", "call/s", HIGHER,
           "a loop in the container, by its clock", "probe stat"),
    Metric("syscall.open", "open and close of a file in the root file system", "call/s", HIGHER,
           "a loop in the container, by its clock", "probe open"),
    Metric("syscall.fork", "fork, exec and wait of a static program", "1/s", HIGHER,
           "a loop in the container, by its clock", "probe fork"),
    Metric("syscall.find", "find over the tree of small files", "s", LOWER,
           "find is started → it has ended, by the container's clock", "find /bench/tree -type f"),
    Metric("cpu.sysbench", "sysbench cpu, one thread", "event/s", HIGHER, "sysbench's own figure",
           "sysbench cpu --cpu-max-prime=2000 run"),
    Metric("cpu.copy", "memory bandwidth: copies of 32 MiB", "MiB/s", HIGHER,
           "a loop in the container, by its clock", "probe copy"),
    *_io(),
    Metric("files.untar", "untar of the tree of small files into the root file system", "s", LOWER,
           "tar is started → it has ended, by the container's clock", "tar -xf tree.tar"),
    Metric("files.status", "a walk that looks at every file, as git status does", "s", LOWER,
           "the walk begins → it has ended, by the container's clock", "probe status"),
    Metric("files.small", "small files in the root file system, each made, read and removed", "1/s",
           HIGHER, "the first is made → the last is removed, by the container's clock", "probe small"),
    Metric("files.bind_untar", "untar of the tree of small files into a bind mount", "s", LOWER,
           "tar is started → it has ended, by the container's clock", "tar -xf tree.tar"),
    Metric("files.bind_status", "a walk over a bind mount that looks at every file", "s", LOWER,
           "the walk begins → it has ended, by the container's clock; the second one", "probe status"),
    Metric("network.in", "TCP into the container", "Mbit/s", HIGHER, "iperf3's own figure",
           "iperf3 -c"),
    Metric("network.out", "TCP out of the container", "Mbit/s", HIGHER, "iperf3's own figure",
           "iperf3 -c -R"),
    Metric("network.rate", "HTTP requests per second, 8 connections", "1/s", HIGHER,
           "wrk's own figure; busybox httpd serves in the container", "wrk -t 1 -c 8"),
    Metric("network.busy", "HTTP latency under that load, median", "ms", LOWER,
           "wrk's own figure", "wrk -t 1 -c 8 --latency"),
    Metric("network.single", "HTTP requests one after the other, 50 of them", "ms", LOWER,
           "connect → the end of the connection", "GET / HTTP/1.0, a connection each", True, 0.99),
    Metric("memory.idle", "an idle container, all of its processes", "MiB", LOWER,
           "PSS of every process that is there with the containers and was not without, over their "
           "number", "/proc/PID/smaps_rollup"),
    Metric("memory.density", "idle containers that a GiB holds", "containers", HIGHER,
           "containers are started until their PSS reaches the budget; scaled to a GiB",
           "/proc/PID/smaps_rollup"),
    Metric("memory.shim", "of it: the shim", "MiB", LOWER, "PSS of the container's shim, idle",
           "/proc/PID/smaps_rollup"),
    Metric("memory.stand_in", "of it: the stand-in of the container's process", "MiB", LOWER,
           "PSS of kata-stand-in, idle", "/proc/PID/smaps_rollup"),
    Metric("memory.agent", "the guest's agent, stripped", "MiB", LOWER, "the file's size",
           "strip -s kata-agent"),
    Metric("memory.initrd", "the guest's initrd", "MiB", LOWER, "the file's size", "stat"),
    Metric("isolation.host_syscalls", "system calls of the host that seccomp leaves", "calls", LOWER,
           "the filters of the process that runs the container's code on the host's kernel (the "
           "program, gVisor's sandbox, the VMM) are read with ptrace, and every number is tried on them",
           "PTRACE_SECCOMP_GET_FILTER"),
]
# What is there only of some runtimes, or through some front ends.
KATA_ONLY = ("memory.shim", "memory.stand_in", "memory.agent", "memory.initrd")
STEPS = ("start.create", "start.start", "start.delete")
METRICS = {metric.id: metric for metric in _ALL}


def of_group(group):
    return [metric for metric in _ALL if metric.group == group]


# Facts of a container about its isolation: {key: (title, True when "yes" is the safer answer, or None)}.
FACTS = {
    "own_kernel": ("a kernel of its own", True),
    "kernel": ("kernel release in the container", None),
    "cpu": ("CPU model in the container", None),
    "cpus": ("CPUs in the container", None),
    "memory": ("memory in the container", None),
    "proc": ("entries in /proc", None),
    "modules": ("kernel modules in /proc/modules", None),
    "interfaces": ("network interfaces", None),
    "dmesg": ("the host's kernel log can be read", False),
    "host_devices": ("the host's disks in /proc/partitions", False),
    "devices": ("device nodes in /dev", None),
    "host_paths": ("paths of the host in /proc/self/mountinfo", False),
    "nested": ("containers inside: mounts, overlay and namespaces as root with all capabilities", True),
    "filters": ("system calls of the host left by seccomp, by process", None),
}
