# SPDX-License-Identifier: Apache-2.0
"""The base of end-to-end test classes: one private containerd per class, the host compared at its end."""

import subprocess
import unittest

from testbed.containerd import Containerd
from testbed.host import HostSnapshot
from testbed.process import wait_until

from .bed_case import BedCase


class Settings:
    """What the command line chose; set once by the runner before any test runs."""

    root = bin_dir = series = version = ""
    runtime = None
    isolated = False
    core_only = False


def core(item):
    """Marks a test or class as part of the subset that runs on every containerd."""
    item.core = True
    return item


def only(runtime, reason):
    """Limits a test or class to one runtime; elsewhere it is skipped with the reason."""
    def mark(item):
        item.only_runtime, item.only_reason = runtime, reason
        return item
    return mark


class ContainerdCase(BedCase):
    """self.containerd is running and has the image; it ends with the class.

    Between tests every container is removed, unless the class keeps some in `kept`. After each test
    and after the class the host must look as before; what does not fails that test or class.
    """

    prelude = None
    snapshotter = "overlayfs"
    snapshotter_settings = ""
    place = ""
    cri = None
    kept = ()

    @classmethod
    def setUpClass(cls):
        cls.runtime = Settings.runtime
        if getattr(cls, "only_runtime", cls.runtime.name) != cls.runtime.name:
            raise unittest.SkipTest(f"{cls.only_runtime} only: {cls.only_reason}")
        cls.before_all = snapshot()
        cls.containerd = Containerd(Settings.bin_dir, cls.runtime, cls.prelude,
                                    snapshotter=cls.snapshotter, place=cls.place,
                                    settings=cls.snapshotter_settings, cri=cls.cri)
        cls.addClassCleanup(cls._finish)
        cls.containerd.start()
        cls.image = cls.containerd.import_image()
        cls.set_up_bed()

    @classmethod
    def set_up_bed(cls):
        """For subclasses: containers that all tests of the class share; list them in cls.kept."""

    @classmethod
    def compiled(cls, program):
        """The path of tests/programs/<program>.c as a program that needs no library."""
        path = f"{cls.containerd.base}/{program}"
        subprocess.run(["gcc", "-static", "-O2", "-o", path,
                        f"{Settings.root}/tests/programs/{program}.c"], check=True)
        return path

    @classmethod
    def _finish(cls):
        cls.kept = ()
        try:
            if cls.containerd.process and cls.containerd.process.poll() is None:
                cls.containerd.remove_all()
                cls.containerd.stop()
            left = cls.before_all.compare()
        finally:
            cls.before_all.purge(cls.containerd.token)
            cls.containerd.destroy()
        cls.complain(left)

    def setUp(self):
        super().setUp()
        self.before = snapshot()
        self.name = self.containerd.new_id()

    def tearDown(self):
        for name in self.containerd.containers():
            if name not in self.kept:
                self.containerd.remove(name)

    def assert_clean(self, before=None, seconds=10):
        """The host looks as it did when the test (or `before`) began."""
        known = [self.containerd.process.pid]
        left = (before or self.before).compare(known, seconds)
        if left:
            (before or self.before).purge(self.containerd.token)
            self.fail("the host still has:\n  " + "\n  ".join(left))

    def assert_code(self, done, code):
        self.assertEqual(done.code, code, f"{done}\ncontainerd: {self.containerd.log_tail(1500)}")

    def assert_output(self, done, text):
        self.assert_code(done, 0)
        self.assertEqual(done.out, text, done)

    def wait_status(self, name, status, seconds=10):
        wait_until(lambda: self.containerd.status(name) == status, seconds,
                   lambda: f"task {name} {status}; is {self.containerd.status(name)}")

    def shell(self, *lines):
        return ["sh", "-c", "\n".join(lines)]


def snapshot():
    return HostSnapshot(ignored=("/tmp/kt-",), exact=Settings.isolated, cgroup="kt-",
                        allowed=Settings.runtime.known_leftovers)

