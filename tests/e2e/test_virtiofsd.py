# SPDX-License-Identifier: Apache-2.0
"""The shared directory by each virtiofsd: the one written in C, and those written in Rust of two suites.

What the host has installed serves all other tests; here it is named.
"""

import contextlib
import glob
import json
import os
import subprocess
import unittest

import test_shared_volumes
import test_sharing
from support import chroot
from support.case import Settings
from testbed import debs
from testbed.process import BedError

OF_C = "/usr/lib/qemu/virtiofsd"
# As Kata Containers' own configuration has them, and in the words of the other daemon.
EXTRA = ["--thread-pool-size=1", "--announce-submounts", "-o", "no_readdirplus"]

# Each line is a call that some runtime with shared files has failed at, and what it must say.
CALLS = """
cd /volume
echo text > file && chmod 600 file && chown 1234:5678 file && stat -c '%a %u:%g' file
ln -s nowhere dangling && readlink dangling; cat dangling 2>&1 | sed 's/.*: //'
echo through > dangling && cat nowhere
ln file hard && stat -c %h file
mkfifo fifo && mknod null c 1 3 && stat -c '%F' fifo null
mkdir open && chmod 777 open
su -s /bin/sh nobody -c 'umask 0; : > /volume/open/mine; : > /volume/mine' 2>&1 | sed 's/.*: //'
stat -c '%U' open/mine
exec 3> gone && rm gone && echo kept >&3 && wc -c < /proc/self/fd/3 && exec 3>&-
mkdir -p a/b && mv a/b c && rmdir a c && ls | tr '\\n' ' '
"""
SAID = """600 1234:5678
nowhere
No such file or directory
through
2
fifo
character special file
Permission denied
nobody
5
dangling fifo file hard nowhere null open """


CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID"]


class Daemon:
    """A mixin: the machines of the class have the virtiofsd that daemon() finds."""

    word = ""

    @classmethod
    def daemon(cls):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        if not Settings.runtime.is_vm:
            raise unittest.SkipTest("kata only: runc shares nothing")
        if Settings.core_only:
            raise unittest.SkipTest("not in the core subset")
        try:
            program = cls.daemon()
        except BedError as error:
            raise unittest.SkipTest(f"no such virtiofsd here: {error}") from error
        super().setUpClass()
        cls.program = program
        cls.runtime.write_config(cls.runtime.config, agent={"dial_timeout": 150},
                                 virtio_fs_daemon=program, virtio_fs_extra_args=EXTRA)

    def change(self, spec):
        super().change(spec)
        for names in spec["process"]["capabilities"].values():
            names += CAPABILITIES

    def test_it_is_this_daemon_and_check_says_so(self):
        done = subprocess.run([f"{self.runtime.bin_dir}/kata-runtime", "env", "--json"], env=self.env,
                              capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)["env"]["virtiofsd"]
        self.assertEqual(found["path"], self.program)
        self.assertEqual(found["kind"], self.word)
        done = subprocess.run([f"{self.runtime.bin_dir}/kata-runtime", "check"], env=self.env,
                              capture_output=True, text=True, check=False)
        self.assertRegex(done.stdout, rf"virtiofsd .*{self.program}, version .*{self.word}: what changes")

    def test_calls_that_shared_files_are_known_to_fail_at(self):
        self.assertEqual(self.inside(CALLS), SAID)


# One work tree below each of two mounts, as an editor's container has them.
GIT = """
git() { command git -c user.name=a -c user.email=a@example.invalid -c 'safe.directory=*' "$@"; }
git init -q -b main /one && cd /one && echo one > file && git add file && git commit -q -m one
git worktree add -q -b other /two/tree && cd /two/tree && echo two > file && git commit -q -a -m two
git -C /one merge -q other && cat /one/file
git -C /one gc -q --prune=now && git -C /one fsck && git status --short && git log --format=%s
git worktree list | wc -l; cd / && git -C /one worktree remove /two/tree && ls /two | wc -l
"""
GIT_SAID = "two\ntwo\none\n2\n0\n"

PYTHON = """
import errno, os, stat
def outcome(call, *arguments, **more):
    try:
        return call(*arguments, **more)
    except OSError as error:
        return errno.errorcode[error.errno]
def say(*words):
    print(*words, flush=True)
def made(name, flags, mode):
    fd = outcome(os.open, name, os.O_CREAT | flags, mode)
    if isinstance(fd, str):
        return fd
    os.write(fd, b"x")
    status = os.fstat(fd)
    os.close(fd)
    return status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode)), status.st_size
os.chdir("/volume")
os.umask(0o022)
for name in ("file", "folder"):
    open(name, "w").close() if name == "file" else os.mkdir(name)
    os.setxattr(name, "user.b", b"2")
    os.setxattr(name, "user.a", b"")
    say(name, sorted(os.listxattr(name)), os.getxattr(name, "user.b"), outcome(os.getxattr, name, "user.c"))
    os.removexattr(name, "user.a")
    say(os.listxattr(name), outcome(os.removexattr, name, "user.a"),
        outcome(os.setxattr, name, "user.b", b"", os.XATTR_CREATE))
os.symlink("nowhere", "dangling")
say(os.listxattr("dangling", follow_symlinks=False), outcome(os.listxattr, "dangling"))
os.mkdir("sticky"); os.chmod("sticky", 0o1777)
os.mkdir("grouped"); os.chown("grouped", 0, 4321); os.chmod("grouped", 0o2777)
made("sticky/roots", os.O_WRONLY, 0o600)
if os.fork() == 0:
    os.setgroups([]); os.setgid(1000); os.setuid(1000)
    say(made("sticky/mine", os.O_WRONLY, 0o666), made("sticky/mine", os.O_WRONLY, 0o666))
    say(made("sticky/read", os.O_RDWR, 0o444), made("sticky/read", os.O_RDWR, 0o444))
    say(made("sticky/none", os.O_WRONLY | os.O_EXCL, 0), made("sticky/none", os.O_WRONLY | os.O_EXCL, 0))
    say(made("sticky/roots", os.O_WRONLY, 0o666), made("above", os.O_WRONLY, 0o666))
    say(made("grouped/file", os.O_WRONLY, 0o660))
    os.symlink("target", "sticky/link")
    say(made("sticky/link", os.O_WRONLY | os.O_EXCL, 0o600), made("sticky/link", os.O_WRONLY, 0o600),
        os.path.getsize("sticky/target"), made("sticky/link", os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    say(outcome(os.unlink, "sticky/roots"), outcome(os.chmod, "sticky/roots", 0o666))
    os._exit(0)
os.wait()
"""
PYTHON_SAID = """\
file ['user.a', 'user.b'] b'2' ENODATA
['user.b'] ENODATA EEXIST
folder ['user.a', 'user.b'] b'2' ENODATA
['user.b'] ENODATA EEXIST
[] ENOENT
(1000, 1000, '0o644', 1) (1000, 1000, '0o644', 1)
(1000, 1000, '0o444', 1) EACCES
(1000, 1000, '0o0', 1) EEXIST
EACCES EACCES
(1000, 4321, '0o640', 1)
EEXIST (1000, 1000, '0o600', 1) 1 ELOOP
EPERM EPERM
"""


class Programs:
    """A mixin for programs as people have them, of a small Debian that is the container's root."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rootfs = f"{cls.base}/debian"
        subprocess.run(["cp", "-a", "--reflink=auto", chroot.base("12", ("git", "python3-minimal")), cls.rootfs],
                       check=True)
        cls.resolv = f"{cls.base}/resolv.conf"

    def change(self, spec):
        super().change(spec)
        with open(self.resolv, "w") as file:
            file.write("nameserver 192.0.2.1\n")
        sources = {"/etc/resolv.conf": self.resolv}
        for name in ("/one", "/two"):
            sources[name] = f"{self.base}{name}-{self.name}"
            os.mkdir(sources[name])
        spec["mounts"] += [{"destination": name, "source": source, "type": "bind", "options": ["bind"]}
                           for name, source in sources.items()]

    def test_git_work_trees_that_are_mounted_beside_each_other(self):
        self.assertEqual(self.inside(f"export HOME=/tmp; ({GIT}) 2>&1"), GIT_SAID)

    def test_a_file_that_is_mounted_over_resolv_conf(self):
        self.assertEqual(self.inside("cat /etc/resolv.conf; echo nameserver 192.0.2.2 >/etc/resolv.conf"),
                         "nameserver 192.0.2.1\n")
        with open(self.resolv) as file:
            self.assertEqual(file.read(), "nameserver 192.0.2.2\n")
        self.assertEqual(self.inside("touch /etc/new; (mv /etc/new /etc/resolv.conf; rm -f /etc/resolv.conf; "
                                     "ln -sf new /etc/resolv.conf) 2>&1 | sed 's/.*: //'"),
                         "Device or resource busy\n" * 3)
        with open(self.resolv, "w") as file:
            file.write("nameserver 192.0.2.3\n")
        self.assert_seen("cat /etc/resolv.conf", "nameserver 192.0.2.3\n")

    def test_attributes_and_files_that_others_make(self):
        with open(f"{self.volume}/.script", "w") as file:
            file.write(PYTHON)
        self.assertEqual(self.inside("python3 /volume/.script 2>&1"), PYTHON_SAID)


class InC(Daemon, Programs, test_sharing.Sharing):
    word = "written in C"

    @classmethod
    def daemon(cls):
        if not os.path.exists(OF_C):
            raise BedError(f"{OF_C} is not there")
        return OF_C


class InRust(Daemon, Programs, test_sharing.Sharing):
    """1.13, of Debian 13."""

    word = "written in Rust"
    suite = "trixie"

    @classmethod
    def daemon(cls):
        return debs.script("fetch-virtiofsd", cls.suite)


class InRustOfNext(InRust):
    """1.14, of the Debian to come."""

    suite = "forky"


def read(path):
    with contextlib.suppress(OSError), open(path) as file:
        return file.read()
    return ""


class VolumesInRust(test_shared_volumes.SharedVolumes):
    """1.13 again: its mount namespace is another process's than that of the one in C."""

    suite = "trixie"

    @classmethod
    def set_up_bed(cls):
        if Settings.core_only:
            raise unittest.SkipTest("not in the core subset")
        try:
            program = debs.script("fetch-virtiofsd", cls.suite)
        except BedError as error:
            raise unittest.SkipTest(f"no such virtiofsd here: {error}") from error
        super().set_up_bed()
        cls.program = program
        cls.runtime.write_config(cls.runtime.config, virtio_fs_daemon=program)

    def start(self, name, kind, *mounts):
        super().start(name, kind, *mounts)
        words = [read(path) for path in glob.glob("/proc/[0-9]*/cmdline")]
        self.assertTrue(any(self.program in line and f"/{self.name}/" in line for line in words),
                        "the machine has another virtiofsd")
        return name


class VolumesInRustOfNext(VolumesInRust):
    suite = "forky"
