# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of Docker: its own commands, on containers whose roots are disks alone."""

import unittest

from support.case import core, only
from support.docker_case import DockerCase
from test_snapshot import remove_containerds_copies
from testbed.docker import COMMAND_LINE, SHIM
from testbed.process import run, wait_until

# Says each number twice: to who reads its output, and to a file of its root.
COUNT = "i=0; while :; do i=$((i+1)); echo $i >> /counted; echo $i; sleep 0.1; done"


class DockerSaves:
    """A mixin for both doors: what counts, and goes on."""

    options = ("--experimental",)
    settings = {"rootfs_upper_size": "1G"}
    shares_files = False

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.store = f"{cls.bed.base}/snapshots"
        cls.runtime.be_patient(cls.settings, **cls.runtime.sharing(files=False), snapshot={"path": cls.store},
                               enable_annotations=["snapshot"])

    def tearDown(self):
        remove_containerds_copies(self.store)
        super().tearDown()

    def numbers(self):
        return [int(line) for line in self.said().split()]

    def wait_counted(self, number, skip=0):
        """Waits until it has said `number`, of what it has said after `skip` lines; all of that."""
        def reached():
            said = self.numbers()[skip:]
            return said if said and said[-1] >= number else None
        return wait_until(reached, 120, lambda: f"count {number} in {self.said()[-200:]!r}")

    def assert_counts_on(self, first=None, skip=0):
        """After so many lines it has said one number after the other, and in its file; the first of them."""
        begin = self.wait_counted(1, skip)[0]
        said = self.wait_counted(begin + 20, skip)
        if first is not None:
            self.assertEqual(begin, first)
        self.assertEqual(said, list(range(begin, begin + len(said))))
        file = [int(line) for line in self.inside("cat /counted").split()]
        self.assertEqual(file, list(range(1, len(file) + 1)))
        self.assertGreaterEqual(file[-1], begin + 20)
        return begin

    def said(self):
        return self.logs()

    def inside(self, line):
        return self.docker("exec", self.name, "sh", "-c", line, check=True).out

    def count(self):
        self.run_detached("--network", "none", *self.shell(COUNT))
        return self.wait_counted(20)

    @core
    def test_a_container_that_is_saved_goes_on_and_its_checkpoints_are_listed(self):
        self.count()
        self.docker("checkpoint", "create", "--leave-running", self.name, "first", check=True, timeout=200)
        self.assertEqual(self.inspect(".State.Status"), "running")
        self.assert_counts_on()
        self.assertIn("first", self.docker("checkpoint", "ls", self.name, check=True).out)
        self.docker("checkpoint", "rm", self.name, "first", check=True)
        self.assertNotIn("first", self.docker("checkpoint", "ls", self.name, check=True).out)


@only("kata", "runc leaves this to CRIU")
class ThroughContainerd(DockerSaves, DockerCase):
    door = SHIM

    @core
    def test_it_starts_again_where_it_was_saved_as_often_as_it_is_asked(self):
        self.count()
        # This front end does not say that it is to end.
        self.docker("checkpoint", "create", self.name, "first", check=True, timeout=200)
        begins = set()
        for _ in range(2):
            self.docker("kill", self.name, check=True)
            self.wait_state(".State.Status", "exited")
            skip = len(self.numbers())
            self.docker("start", "--checkpoint", "first", self.name, check=True, timeout=200)
            begins.add(self.assert_counts_on(skip=skip))
        self.assertEqual(len(begins), 1, begins)

    @core
    def test_containers_begin_from_one_that_was_saved_by_name(self):
        self.count()
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "--config", self.runtime.config, "snapshot", "create",
                    self.bed.inspect(self.name, ".Id"), "counted"], 200)
        self.assertEqual(done.code, 0, done)
        saved, begins = self.name, set()
        for _ in range(2):
            self.name = self.bed.new_name()
            self.run_detached("--network", "none", "--annotation", "io.katacontainers.snapshot=counted",
                              *self.shell(COUNT))
            begins.add(self.assert_counts_on())
        self.assertEqual(len(begins), 1, begins)
        self.assertGreaterEqual(min(begins), 20)
        self.docker("rm", "--force", saved, check=True)


@only("kata", "runc leaves this to CRIU")
class ThroughTheCommandLine(DockerSaves, DockerCase):
    door = COMMAND_LINE

    @core
    def test_it_ends_and_starts_again_where_it_was(self):
        self.count()
        self.docker("checkpoint", "create", self.name, "first", check=True, timeout=200)
        self.wait_state(".State.Status", "exited")
        last, skip = self.numbers()[-1], len(self.numbers())
        if self.series != "20.10":
            raise unittest.SkipTest("this Docker looks for the network of a process that is not there yet")
        self.docker("start", "--checkpoint", "first", self.name, check=True, timeout=200)
        self.assert_counts_on(last + 1, skip)
