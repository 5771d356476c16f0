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


CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID"]


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


class InC(Daemon, test_sharing.Sharing):
    word = "written in C"

    @classmethod
    def daemon(cls):
        if not os.path.exists(OF_C):
            raise BedError(f"{OF_C} is not there")
        return OF_C


class InRust(Daemon, test_sharing.Sharing):
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
