# SPDX-License-Identifier: Apache-2.0
"""What a host looks like before and after: processes, mounts, files, cgroups, network, loop devices.

HostSnapshot.take() reads; leftovers() names what is there now and was not then. On a machine that
others use too, give the bed a PID and mount namespace of its own (`run --isolate`): then everything
new counts. Without, foreign programs are told apart by name.
"""

import contextlib
import glob
import os
import re
import signal
import stat
import subprocess
import time

from .leftovers import RUN

OURS = re.compile(r"kata|containerd|^ctr$|^runc|qemu|virtiofsd|cloud-hyp|firecracker|passt|^vhost")
# Shared parents that stay once made, as /run/containerd does; what is inside them counts.
KEPT_FOLDERS = re.compile(r"^(/run/vc(/vm|/sbs)?|/run/kata-containers(/shared(/sandboxes)?)?|"
                          r"/run/containerd(/s|/fifo|/runc)?|/run/runc|/run/netns)$")
WATCHED = ("/run/kata-containers", "/run/vc", "/run/containerd", "/run/runc", "/run/netns",
           "/dev/shm", "/tmp", "/var/lib/kata", "/var/lib/kata-containers")


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _process_table():
    """{(pid, start time): description} of user processes, zombies included."""
    table = {}
    for path in glob.glob("/proc/[0-9]*"):
        stat_line = _read(f"{path}/stat").decode(errors="replace")
        if ")" not in stat_line:
            continue
        name = stat_line[stat_line.index("(") + 1:stat_line.rindex(")")]
        fields = stat_line[stat_line.rindex(")") + 2:].split()
        state, parent, start = fields[0], int(fields[1]), int(fields[19])
        pid = int(path.split("/")[2])
        command = _read(f"{path}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
        if not command and state != "Z":
            continue  # a kernel thread
        table[(pid, start)] = (name, parent, state, command)
    return table


def _mount_table():
    """{(namespace, mount point, type, source)} over every mount namespace that a process is in."""
    seen, table = set(), set()
    for path in ["/proc/self", *glob.glob("/proc/[0-9]*")]:
        try:
            namespace = os.readlink(f"{path}/ns/mnt")
        except OSError:
            continue
        if namespace in seen:
            continue
        seen.add(namespace)
        for line in _read(f"{path}/mountinfo").decode(errors="replace").splitlines():
            fields, _, rest = line.partition(" - ")
            kind, source = rest.split(" ")[:2]
            table.add((namespace, fields.split(" ")[4], kind, source))
    return seen, table


def _kind(mode):
    for test, word in ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "fifo"), (stat.S_ISDIR, "folder"),
                       (stat.S_ISLNK, "link"), (stat.S_ISBLK, "block device"),
                       (stat.S_ISCHR, "character device")):
        if test(mode):
            return word
    return "file"


def _file_table(ignored):
    """{path: kind} below the watched folders; one file system deep in /tmp, everything elsewhere."""
    table = {}
    for top in WATCHED:
        depth = 1 if top == "/tmp" else 6
        stack = [(top, 0)]
        while stack:
            folder, level = stack.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            if level and not entries and not KEPT_FOLDERS.match(folder):
                table[folder] = "empty folder"
            for entry in entries:
                if any(entry.path.startswith(prefix) for prefix in ignored):
                    continue
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    kind = _kind(entry.stat(follow_symlinks=False).st_mode)
                except OSError:
                    continue
                if is_folder and level + 1 < depth:
                    stack.append((entry.path, level + 1))
                elif not KEPT_FOLDERS.match(entry.path):
                    table[entry.path] = kind
    return table


def _cgroup_table():
    table = set()
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        table.update(f"{top}/{name}" for name in folders)
    return table


def _network_table():
    table = set()
    for line in subprocess.run(["ip", "-o", "link"], capture_output=True,
                               text=True).stdout.splitlines():
        table.add(f"network link {line.split(': ')[1].split('@')[0]}")
    for path in glob.glob("/proc/[0-9]*/ns/net"):
        try:
            table.add(f"network namespace {os.readlink(path)}")
        except OSError:
            pass
    return table


def _loop_table():
    return {f"loop device {path.split('/')[3]} on {_read(path).decode(errors='replace').strip()}"
            for path in glob.glob("/sys/block/loop*/loop/backing_file")}


BED_OF_CGROUP = re.compile(r"/kt-([^/]+)")


def _is_others(cgroup):
    bed = BED_OF_CGROUP.search(cgroup)
    return bed and RUN not in bed[1]


class HostSnapshot:
    """The host at one moment.

    ignored    path prefixes that are the bed's own
    exact      everything new counts, not only what carries a name of ours
    allowed    a compiled pattern of leftovers that are known and do not count
    cgroup     how the bed's namespaces begin: cgroups of that name are parents that may stay
    loops      only loop devices on files of such a name count: they belong to the whole machine
    """

    def __init__(self, ignored=(), exact=False, cgroup="kata", allowed=re.compile(r"(?!)"),
                 loops=""):
        self._ignored, self._exact, self._cgroup = tuple(ignored), exact, cgroup
        self._allowed, self._loop_file = allowed, loops
        self._processes = _process_table()
        self._namespaces, self._mounts = _mount_table()
        self._files = _file_table(self._ignored)
        self._cgroups = _cgroup_table()
        self._network = _network_table()
        self._loops = _loop_table()

    def _counts(self, text):
        return self._exact or OURS.search(text)

    def leftovers(self, known_pids=()):
        """[description] of everything new, the processes of `known_pids` and this one's aside."""
        found = []
        alive = _process_table()
        for (pid, start), (name, parent, state, command) in sorted(alive.items()):
            new = (pid, start) not in self._processes
            program = os.path.basename(command.split(" ")[0])
            ours = self._exact or OURS.search(name) or OURS.search(program)
            if new and pid not in known_pids and ours:
                found.append(f"process {pid} {name} (state {state}, parent {parent}): "
                             f"{command[:300]}")
        _, mounts = _mount_table()
        for namespace, point, kind, source in sorted(mounts - self._mounts):
            if namespace in self._namespaces and self._counts(f"{point} {source}"):
                found.append(f"mount {point} ({kind} from {source}) in {namespace}")
        for path, kind in sorted(_file_table(self._ignored).items()):
            if path not in self._files and (not path.startswith("/tmp") or self._counts(path)):
                found.append(f"{kind} {path}")
        for path in sorted(_cgroup_table() - self._cgroups):
            name = path.rsplit("/", 1)[1]
            if name.startswith(self._cgroup) or _is_others(path):
                continue
            if self._cgroup in path or OURS.search(path):
                found.append(f"cgroup {path}")
        for line in sorted(_network_table() - self._network):
            if self._exact or line.startswith("network link"):
                found.append(line)
        found += sorted(line for line in _loop_table() - self._loops if self._loop_file in line)
        return [line for line in found if not self._allowed.match(line)]

    def compare(self, known_pids=(), seconds=10):
        """Waits up to `seconds` for a clean host; [] or what is left then."""
        deadline = time.monotonic() + seconds
        while True:
            left = self.leftovers(known_pids)
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(0.05)

    def purge(self, token):
        """Ends and unmounts what is left, so that the next test starts clean. After a verdict only.

        Of processes only those whose command line contains `token`: others may use the machine.
        """
        for (pid, start), (_, _, _, command) in _process_table().items():
            if (pid, start) not in self._processes and pid != os.getpid() and token in command:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        _, mounts = _mount_table()
        here = os.readlink("/proc/self/ns/mnt")
        for namespace, point, _, source in sorted(mounts - self._mounts, reverse=True):
            if namespace == here and self._counts(f"{point} {source}"):
                subprocess.run(["umount", "-l", point], capture_output=True)
        for path, kind in _file_table(self._ignored).items():
            if path not in self._files and not path.startswith("/tmp") and OURS.search(path):
                try:
                    os.rmdir(path) if "folder" in kind else os.unlink(path)
                except OSError:
                    pass


@contextlib.contextmanager
def loop_disk(file, size):
    """A loop device over a new file of zeros: its path."""
    with open(file, "wb") as out:
        out.truncate(size)
    path = subprocess.check_output(["losetup", "--find", "--show", file], text=True).strip()
    try:
        yield path
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)
