# SPDX-License-Identifier: Apache-2.0
"""A small Debian of its own, of any release, in namespaces of its own: made by mmdebstrap and kept in
the cache, used as a copy.

It has the host's devices, and its own processes, mounts, control groups, /run and /tmp. Programs have
the host's network for apt, or the chroot's own.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile

from testbed import debs
from testbed.leftovers import remove_cgroups
from testbed.process import BedError, run, wait_until

SUITES = {"12": "bookworm", "13": "trixie"}

# Into control groups of its own, and from there into namespaces whose roots these are. A cpuset takes
# nobody before it has processors and memory.
BEGIN = """\
for group in {groups}; do
  mkdir "$group"
  for file in cpuset.cpus cpuset.mems; do
    [ ! -e "${{group%/*}}/cgroup.procs" ] || [ ! -e "$group/$file" ] || cat "${{group%/*}}/$file" >"$group/$file"
  done
  echo $$ >"$group/cgroup.procs"
done
exec unshare --cgroup --ipc --mount --net --pid --uts --propagation private --fork --kill-child sh -ec "$1"
"""

# A command joins them from outside.
JOIN = """\
for group in {groups}; do echo $$ >"$group/cgroup.procs"; done
exec "$@"
"""

# {root} is the folder. It becomes the root, and not a chroot's only: runtimes pivot.
MOUNTS = """\
ip link set lo up
mount --bind '{root}' '{root}'
cd '{root}'
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
{groups}
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/lock run/bed
{binds}
pivot_root . run/bed
umount -l /run/bed
rmdir /run/bed
{init}
"""

# The shell that waits is the namespace's first process, and reaps.
WAIT = """\
sleep infinity &
touch /run/ready
while :; do wait; done"""

# Nothing of the machine's: no terminals, no settings of its kernel.
SYSTEMD = """\
for unit in console-getty getty@tty1 serial-getty@ttyS0 systemd-sysctl systemd-modules-load; do
  ln -sf /dev/null "/run/systemd/system/$unit.service"
done
touch /run/ready
# The last two are for those that find version 1 of control groups and would rather not.
exec env -i container=kata-test PATH="$PATH" SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 \
  /lib/systemd/systemd --system SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0 \
  >/var/log/systemd.log 2>&1"""


def hierarchies():
    """[(folder, type, options)] of the control groups that are mounted here."""
    found = {}
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.rstrip().partition(" - ")
            kind, _, options = after.split()
            if kind in ("cgroup", "cgroup2"):
                words = [word for word in options.split(",") if word not in ("rw", "ro", "nsdelegate", "clone_children")
                         and not word.startswith("release_agent")]
                found[before.split()[4]] = (kind, ",".join(words))
    return [(folder, kind, options) for folder, (kind, options) in found.items()]


def apt_options():
    """What the machine's apt is told about reaching its mirror, which another root's needs too."""
    dump = subprocess.check_output(["apt-config", "dump"], text=True)
    return re.findall(r"^Acquire::(?:[a-z]+::Proxy|Check-[A-Za-z-]+) .*$", dump, re.MULTILINE)


def base(release, packages=()):
    """Folder of a minimal Debian `release`, "12", "13" or a suite's name, with packages; made when it is not
    in the cache."""
    suite = SUITES.get(release, release)
    key = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:8]
    folder = f"{debs.cache()}/chroots/{suite}-{key}"
    if os.path.isdir(folder) and os.environ.get("KATA_DEBS_REFRESH") != "1":
        return folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    part = tempfile.mkdtemp(prefix=f".{suite}-", dir=os.path.dirname(folder))
    try:
        done = run(["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet",
                    *[f"--aptopt={line}" for line in [*apt_options(), 'Acquire::Languages "none"']],
                    *([f"--include={','.join(packages)}"] if packages else []),
                    suite, part, debs.mirror()], 1200)
        if done.code != 0:
            raise BedError(f"no Debian {release}: {done}")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(part, folder)
        os.chmod(folder, 0o755)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


class Chroot:
    """start(), then run(...); destroy() ends all that runs in it and removes it.

    packages    of the release, beyond the minimal ones
    binds       {path inside: path here}
    systemd     it is the first process; among the packages, or nothing starts
    """

    def __init__(self, release, packages=(), binds=None, systemd=False):
        self.release, self.binds, self.systemd = release, dict(binds or {}), systemd
        self._from = base(release, packages)
        self.scratch = tempfile.mkdtemp(prefix="kt-chroot-", dir="/var/tmp")
        self.root, self.group = f"{self.scratch}/root", os.path.basename(self.scratch)
        self._init = None

    def start(self):
        subprocess.run(["cp", "-a", "--reflink=auto", self._from, self.root], check=True)
        shutil.copy("/etc/resolv.conf", f"{self.root}/etc/resolv.conf")
        binds, groups = [], []
        for inside, here in self.binds.items():
            os.makedirs(f"{self.root}{inside}", exist_ok=True)
            binds.append(f"mount --rbind '{here}' '.{inside}'")
        tops = hierarchies()
        if [folder for folder, _, _ in tops] != ["/sys/fs/cgroup"]:
            groups.append("mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup")
        for folder, kind, options in tops:
            groups += [f"mkdir -p .{folder}", f"mount -t {kind} {f'-o {options}' if options else ''} {kind} .{folder}"]
        if self.systemd:
            binds.append("mkdir -p run/systemd/system")
        script = MOUNTS.format(root=self.root, binds="\n".join(binds), groups="\n".join(groups),
                               init=SYSTEMD if self.systemd else WAIT)
        self._init = subprocess.Popen(
            ["sh", "-ec", BEGIN.format(groups=self._groups()), "sh", script], stdin=subprocess.DEVNULL)
        wait_until(self._ready, 60, "namespaces of the chroot")
        if self.systemd:
            wait_until(lambda: self.run("systemctl", "is-system-running", check=False).out.strip() in
                       ("running", "degraded"), 120, lambda: f"systemd: {self._systemd_log()}")
        return self

    def _groups(self):
        return " ".join(f"{top}/{self.group}" for top, _, _ in hierarchies())

    def _systemd_log(self):
        with open(f"{self.root}/var/log/systemd.log", errors="replace") as file:
            return file.read()[-3000:]

    def _ready(self):
        if self._init.poll() is not None:
            raise BedError("the chroot's namespaces cannot be made")
        return self.pid and os.path.exists(self.path("/run/ready"))

    @property
    def pid(self):
        """Of the first process in it, or None."""
        try:
            with open(f"/proc/{self._init.pid}/task/{self._init.pid}/children") as file:
                children = file.read().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def argv(self, *argv, network=False):
        """network    the chroot's own instead of the host's"""
        return ["sh", "-ec", JOIN.format(groups=self._groups()), "sh", "nsenter", "-t", str(self.pid), "-C", "-i", "-m", "-p", "-u", *(["-n"] if network else []),
                "--root", "--wd",
                "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *map(str, argv)]

    def run(self, *argv, timeout=300, check=True, stdin=b"", network=False):
        done = run(self.argv(*argv, network=network), timeout, stdin=stdin)
        if check and done.code != 0:
            raise AssertionError(f"expected success in Debian {self.release}: {done}")
        return done

    def popen(self, *argv, network=False, **options):
        return subprocess.Popen(self.argv(*argv, network=network), stdin=subprocess.DEVNULL, **options)

    def path(self, inside):
        """Where a path of the chroot is for others; not below its mounts."""
        return f"/proc/{self.pid}/root{inside}"

    def put(self, source, folder):
        shutil.copy(source, self.path(folder))

    def snapshot(self, ignored):
        """{path: what it is} of all files, but those whose path `ignored` matches."""
        found, top = {}, self.path("")
        for here, folders, files in os.walk(top):
            inside = here[len(top):] or "/"
            folders[:] = [name for name in folders
                          if os.path.join(inside, name) not in ("/proc", "/sys", "/dev", "/tmp")]
            for name in [*folders, *files]:
                path = os.path.join(inside, name)
                if not ignored.match(path):
                    found[path] = describe(os.path.join(here, name))
        return found

    def destroy(self):
        if self._init:
            self._init.kill()
            self._init.wait()
        left = remove_cgroups(self.group, 30)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if left:
            raise AssertionError(f"not empty: {', '.join(left)}")


def describe(path):
    """Kind, mode, owner and content of a file, not its times."""
    info = os.lstat(path)
    content = ""
    if stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    return stat.filemode(info.st_mode), info.st_uid, info.st_gid, content


def differences(before, after):
    """Lines: what came, went or changed."""
    lines = [f"+ {path} {after[path]}" for path in sorted(after.keys() - before.keys())]
    lines += [f"- {path} {before[path]}" for path in sorted(before.keys() - after.keys())]
    return lines + [f"~ {path} {before[path]} {after[path]}" for path in sorted(before.keys() & after.keys())
                    if before[path] != after[path]]
