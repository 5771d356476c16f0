# SPDX-License-Identifier: Apache-2.0
"""The bed itself: a host comparison that overlooks something would make every other test worthless."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from support import protobuf
from support.case import snapshot
from testbed import image
from testbed.process import wait_until


class HostComparison(unittest.TestCase):
    def setUp(self):
        self.before = snapshot()
        self.folder = tempfile.mkdtemp(prefix="kt-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)

    def named(self, word):
        return [line for line in self.before.leftovers() if word in line]

    def assert_named(self, word, make, undo):
        """`word` is among the leftovers from make() to undo()."""
        self.assertEqual(self.named(word), [])
        make()
        try:
            self.assertTrue(self.named(word), f"{word} in {self.before.leftovers()}")
        finally:
            undo()
        self.assertEqual(self.named(word), [])

    def run_command(self, *argv):
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def test_processes_and_zombies_are_named(self):
        program = f"{self.folder}/qemu-left-behind"
        shutil.copy(image.busybox(), program)
        child = subprocess.Popen(["sleep", "1000"], executable=program)
        # Popen returns at the exec, a moment before the process has its new name.
        wait_until(lambda: self.named(f"process {child.pid} qemu-left"), 30, "the process is named")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertTrue(self.named(f"process {child.pid} qemu-left"), "a zombie")
        child.wait()
        self.assertEqual(self.named(f"process {child.pid} qemu-left"), [])

    def test_mounts_are_named(self):
        self.assert_named(self.folder, lambda: self.run_command(
                "mount", "-t", "tmpfs", "kata-left", self.folder),
                lambda: self.run_command("umount", self.folder))

    def test_sockets_files_and_folders_are_named(self):
        for folder in ("/run/vc", "/run/vc/vm"):
            if not os.path.isdir(folder):
                os.mkdir(folder)
                self.addCleanup(os.rmdir, folder)
        path = "/run/vc/vm/left.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            self.assert_named(f"socket {path}", lambda: listener.bind(path),
                              lambda: os.unlink(path))
        self.assert_named("empty folder /run/vc/vm/left", lambda: os.mkdir("/run/vc/vm/left"),
                          lambda: os.rmdir("/run/vc/vm/left"))
        self.assert_named("file /dev/shm/kata-left", lambda: os.mknod("/dev/shm/kata-left"),
                          lambda: os.unlink("/dev/shm/kata-left"))

    def test_cgroups_are_named(self):
        top = "/sys/fs/cgroup"
        if not os.path.exists(f"{top}/cgroup.procs"):
            top = next(entry.path for entry in os.scandir(top) if os.path.exists(f"{entry.path}/cgroup.procs"))
        path = f"{top}/kata-left"
        self.assert_named(f"cgroup {path}", lambda: os.mkdir(path), lambda: os.rmdir(path))

    def test_network_links_are_named(self):
        self.assert_named("network link kata-left", lambda: self.run_command(
                "ip", "tuntap", "add", "kata-left", "mode", "tap"),
                lambda: self.run_command("ip", "link", "delete", "kata-left"))

    def test_loop_devices_are_named(self):
        path = f"{self.folder}/disk"
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        device = self.run_command("losetup", "--find", "--show", path)
        self.assertTrue(self.named(f"on {path}"))
        self.run_command("losetup", "--detach", device)
        # The kernel lets go of it on its own time.
        self.assertEqual([line for line in self.before.compare() if path in line], [])


class WireFormat(unittest.TestCase):
    def test_messages_come_back_as_they_were_written(self):
        data = protobuf.encode((1, "name"), (2, 300), (3, [b"a", b"b"]), (4, 0), (16, (1 << 64) - 1))
        self.assertEqual(protobuf.decode(data),
                         {1: [b"name"], 2: [300], 3: [b"a", b"b"], 16: [(1 << 64) - 1]})
        self.assertEqual(data[:6], b"\x0a\x04name")

    def test_a_field_that_runs_past_the_end_is_an_error(self):
        with self.assertRaises(ValueError):
            protobuf.decode(b"\x0a\x05name")
