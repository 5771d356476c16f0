# SPDX-License-Identifier: Apache-2.0
"""Volumes that Kubernetes rewrites (ConfigMap, Secret, projected) while containers have them."""

import os
import shutil
import subprocess

from support.case import ContainerdCase, core
from testbed.containerd import Lines
from testbed.process import wait_until

SECONDS = 30
SANDBOX, MEMBER = (f"io.kubernetes.cri.container-type={kind}" for kind in ("sandbox", "container"))


class Rewriter:
    """Writes the keys of a volume as Kubernetes' AtomicWriter does."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        os.mkdir(folder)

    def write(self, **keys):
        self.count += 1
        data, link = f"{self.folder}/..{self.count}", f"{self.folder}/..data"
        os.mkdir(data)
        for key, text in keys.items():
            with open(f"{data}/{key}", "w") as file:
                file.write(text)
        os.symlink(f"..{self.count}", f"{link}_tmp")
        before = os.path.realpath(link)
        os.rename(f"{link}_tmp", link)
        for key in keys:
            if not os.path.lexists(f"{self.folder}/{key}"):
                os.symlink(f"..data/{key}", f"{self.folder}/{key}")
        for name in os.listdir(self.folder):
            if not name.startswith("..") and name not in keys:
                os.unlink(f"{self.folder}/{name}")
        if self.count > 1:
            shutil.rmtree(before)


class RewrittenVolume(ContainerdCase):
    @classmethod
    def set_up_bed(cls):
        cls.program = cls.compiled("watch")

    def setUp(self):
        super().setUp()
        self.volume = Rewriter(f"{self.containerd.base}/{self.name}-v")

    def start(self, name, kind=SANDBOX, options="rbind:rprivate:ro"):
        self.containerd.run_detached(
            name, ["sleep", "1000"], "--annotation", kind, "--annotation",
            f"io.kubernetes.cri.sandbox-id={self.name}", "--mount",
            f"type=bind,src={self.volume.folder},dst=/v,options={options}", "--mount",
            f"type=bind,src={self.program},dst=/watch,options=rbind:ro", timeout=90)
        return name

    def watch(self, name, path):
        """The events that a program in the container hears of at `path`, as lines."""
        child = self.containerd.popen(*self.containerd.exec_arguments(name, ["/watch", path]),
                                      stderr=subprocess.STDOUT)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        lines = Lines(child.stdout)
        lines.wait_for("watching\n", SECONDS)
        return lines

    def read(self, name, path):
        return self.containerd.exec(name, ["cat", path]).out

    @core
    def test_a_program_hears_of_the_swap_and_reads_what_is_new(self):
        self.volume.write(key="one", old="x")
        name = self.start(self.name)
        self.assertEqual(self.read(name, "/v/key"), "one")
        events = self.watch(name, "/v")
        self.volume.write(key="two", new="y")
        events.wait_for("moved-to ..data\n", SECONDS)
        self.assertEqual(self.read(name, "/v/key"), "two")
        events.wait_for("delete ..1\n", SECONDS)
        self.assert_output(self.containerd.exec(name, ["ls", "-A", "/v"]), "..2\n..data\nkey\nnew\n")

    def test_a_member_that_comes_later_has_what_is_there_then_and_both_hear(self):
        self.volume.write(key="one")
        pod = self.start(self.name)
        self.volume.write(key="two")
        member = self.start(f"{self.name}-m", MEMBER)
        self.assertEqual(self.read(member, "/v/key"), "two")
        heard = [self.watch(name, "/v") for name in (pod, member)]
        self.volume.write(key="three")
        for name, events in zip((pod, member), heard, strict=True):
            events.wait_for("moved-to ..data\n", SECONDS)
            self.assertEqual(self.read(name, "/v/key"), "three")
        self.assertTrue(self.containerd.remove(member))
        self.volume.write(key="four")
        wait_until(lambda: self.read(pod, "/v/key") == "four", SECONDS, "the pod follows on")

    def test_it_is_read_only_and_may_hold_programs(self):
        self.volume.write(run="#!/bin/sh\necho ran")
        os.chmod(f"{self.volume.folder}/..1/run", 0o755)
        name = self.start(self.name)
        self.assert_output(self.containerd.exec(name, ["/v/run"]), "ran\n")
        self.assertIn("Read-only file system", self.containerd.exec(name, ["touch", "/v/x"]).err)

    def test_one_that_may_be_written_is_the_hosts_own(self):
        self.volume.write(key="one")
        name = self.start(self.name, options="rbind:rprivate:rw")
        self.assert_output(self.containerd.exec(name, ["sh", "-c", "echo mine > /v/mine"]), "")
        with open(f"{self.volume.folder}/mine") as file:
            self.assertEqual(file.read(), "mine\n")
