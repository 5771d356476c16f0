# SPDX-License-Identifier: Apache-2.0
"""What the host mounts below a volume while a container has it, and what a container mounts there."""

import os
import subprocess

from support.case import ContainerdCase, core
from testbed.process import wait_until

SECONDS = 20


class Propagation(ContainerdCase):
    def setUp(self):
        super().setUp()
        self.folder = f"{self.containerd.base}/{self.name}-v"
        self.mount(self.folder)
        subprocess.run(["mount", "--make-shared", self.folder], check=True)

    def mount(self, path):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "volume", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", path], stderr=subprocess.DEVNULL)
        with open(f"{path}/mark", "w") as file:
            file.write(os.path.basename(path))

    def start(self, options, *flags):
        name = self.containerd.new_id()
        self.containerd.run_detached(name, ["sleep", "1000"], *flags, "--mount",
                                     f"type=bind,src={self.folder},dst=/v,options={options}", timeout=90)
        return name

    def read(self, name, path):
        return self.containerd.exec(name, ["cat", path]).out

    def await_mark(self, name, path, mark):
        wait_until(lambda: self.read(name, f"{path}/mark") == mark, SECONDS,
                   lambda: f"{mark!r} at {path}: {self.read(name, f'{path}/mark')!r}")

    def comes_and_goes(self, options):
        sub = f"{self.folder}/sub"
        os.makedirs(sub)
        name = self.start(options)
        self.assertNotEqual(self.containerd.exec(name, ["ls", "/v/sub/mark"]).code, 0)
        for _ in range(2):
            self.mount(sub)
            self.await_mark(name, "/v/sub", "sub")
            self.mount(f"{sub}/deep")
            self.await_mark(name, "/v/sub/deep", "deep")
            for path in (f"{sub}/deep", sub):
                # Not "target is busy", though the guest has looked into it.
                subprocess.run(["umount", path], check=True)
            self.await_mark(name, "/v/sub", "")
        os.rmdir(sub)
        self.assertTrue(self.containerd.remove(name))

    @core
    def test_it_comes_and_goes_where_the_mount_is_a_slave(self):
        self.comes_and_goes("rbind:rslave:rw")

    def test_it_comes_and_goes_with_other_words(self):
        for options in ("rbind:rw", "rbind:rshared:rw", "rbind:rslave:ro", "bind:slave:rw"):
            with self.subTest(options=options):
                self.comes_and_goes(options)

    def test_what_was_there_at_the_start_goes_too(self):
        self.mount(f"{self.folder}/sub")
        name = self.start("rbind:rslave:rw")
        self.await_mark(name, "/v/sub", "sub")
        subprocess.run(["umount", f"{self.folder}/sub"], check=True)
        self.await_mark(name, "/v/sub", "")

    def test_nothing_comes_to_a_private_mount(self):
        os.makedirs(f"{self.folder}/sub")
        name, other = (self.start(f"rbind:{word}:rw") for word in ("rprivate", "rslave"))
        self.mount(f"{self.folder}/sub")
        self.await_mark(other, "/v/sub", "sub")
        self.assertEqual(self.read(name, "/v/sub/mark"), "")

    def test_the_file_system_is_let_go_of_on_the_host(self):
        os.makedirs(f"{self.folder}/sub")
        name = self.start("rbind:rslave:rw")
        image = f"{self.containerd.base}/{self.name}.img"
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", image], check=True)
        device = subprocess.run(["/sbin/losetup", "-f", "--show", image], check=True,
                                capture_output=True, text=True).stdout.strip()
        self.addCleanup(subprocess.run, ["/sbin/losetup", "-d", device], stderr=subprocess.DEVNULL)
        subprocess.run(["mount", device, f"{self.folder}/sub"], check=True)
        wait_until(lambda: "lost+found" in self.containerd.exec(name, ["ls", "/v/sub"]).out, SECONDS,
                   "it is inside")
        subprocess.run(["umount", f"{self.folder}/sub"], check=True)

        def free():
            """Whether nobody has the disk any more: the kernel gives it to one who wants it alone."""
            try:
                os.close(os.open(device, os.O_RDWR | os.O_EXCL))
            except OSError:
                return False
            return True
        wait_until(free, SECONDS, f"{device} is free")
