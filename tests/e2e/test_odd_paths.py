# SPDX-License-Identifier: Apache-2.0
"""Paths with what lists, options and quotes are made of: state folders, bundles, mounts, hooks, kernels."""

import json
import os
import shutil
import subprocess

from support.case import ContainerdCase, only
from support.oci import OciCase
from support.spec import make_executable
from testbed import image

ODD = "a b,c:d 'e' \"f\" \\g %40 #h $HOME é"


class CommandLine(OciCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = f"{cls.base}/{ODD}"
        os.mkdir(cls.place)
        cls.root = f"{cls.place}/state"

    def odd_bundle(self, *command, change=None):
        folder = self.bundle(*command, change=change)
        target = f"{self.place}/{os.path.basename(folder)}"
        os.rename(folder, target)
        return target

    def test_state_bundle_root_mount_hook_log_and_pid_file_are_where_they_are_named(self):
        rootfs, volume = f"{self.place}/rootfs", f"{self.place}/volume"
        image.write_tree(rootfs)
        os.mkdir(volume)
        with open(f"{volume}/file", "w") as file:
            file.write("of the host\n")
        hook = make_executable(f"{self.place}/hook", "#!/bin/sh\ncat > \"$1\"\n")

        def change(spec):
            spec["root"]["path"] = rootfs
            spec["mounts"].append({"destination": f"/mnt/{ODD}", "type": "bind", "source": volume,
                                   "options": ["rbind", "rw"]})
            spec["hooks"] = {"createRuntime": [{"path": hook, "args": ["hook", f"{self.place}/hooked"]}]}
        bundle = self.odd_bundle("cat", f"/mnt/{ODD}/file", change=change)
        done = self.cli("--log", f"{self.place}/log", "run", "--bundle", bundle, "--pid-file",
                        f"{self.place}/pid", self.name)
        self.assert_output(done, "of the host\n")
        with open(f"{self.place}/hooked") as file:
            self.assertEqual(json.load(file)["bundle"], bundle)
        with open(f"{self.place}/pid") as file:
            self.assertGreater(int(file.read()), 1)
        self.assertEqual(os.listdir(self.root), [])
        shutil.rmtree(rootfs)

    def test_a_relative_state_folder_is_that_of_the_caller(self):
        bundle = self.odd_bundle("echo", "inside")
        relative = os.path.relpath(self.root, self.place)
        words = self.argv("run", "--bundle", os.path.basename(bundle), self.name)
        words[words.index("--root") + 1] = relative
        done = subprocess.run(words, cwd=self.place, env=self.env, capture_output=True, text=True,
                              timeout=200)
        self.assertEqual((done.returncode, done.stdout), (0, "inside\n"), done)


class Containerd(ContainerdCase):
    """containerd's own folders, without commas and colons, which it cannot have there itself."""

    place = "a 'b' \"c\" é%"

    def test_containers_run_below_such_a_folder(self):
        self.assert_output(self.containerd.run(self.name, ["echo", "inside"], "--rm"), "inside\n")
        self.assert_clean()


class Guest(OciCase):
    @only("kata", "runc has no kernel of its own")
    def test_kernel_and_initrd_may_lie_anywhere(self):
        place = f"{self.base}/{ODD}"
        os.mkdir(place)
        kata = self.runtime
        kernel, initrd = (shutil.copy(path, place) for path in (kata.kernel, kata.initrd))
        config = kata.write_config(f"{place}/configuration.toml", kernel=kernel, initrd=initrd,
                                   factory={"enable_template": True, "template_path": f"{place}/templates"})
        words = self.argv("run", "--bundle", self.bundle("echo", "inside"), self.name)
        for _ in range(2):
            done = subprocess.run(words, env={**self.env, "KATA_CONF_FILE": config}, capture_output=True,
                                  text=True, timeout=300)
            self.assertEqual((done.returncode, done.stdout), (0, "inside\n"), done)
        self.assertTrue(os.listdir(f"{place}/templates"))
