# SPDX-License-Identifier: Apache-2.0
"""What tests of roots that are made of images of layers share."""

import glob
import unittest

from testbed.process import run, wait_until

IMAGE_TIME = 120


def root_of(runtime, name):
    """What a container's root file system is made of."""
    done = run([f"{runtime.bin_dir}/kata-runtime", "state", "--root", name], 60)
    if done.code != 0:
        raise AssertionError(f"expected success: {done}")
    return done.out.strip()


def need_layers(runtime):
    """Skips what is about roots of layers with a shared upper directory where guests cannot have them."""
    if runtime.lacks("overlayfs-links"):
        raise unittest.SkipTest("roots are shared on this kernel (docs/layers.md)")


class EngineWithLayers:
    """A mixin for engines that mount the root themselves."""

    settings = {"rootfs_layers": True}

    def make_images(self):
        """Has the images of the engine's image made, by a first container."""
        need_layers(self.runtime)
        self.cli("run", "--name", "first", "--network", "none", self.image, "true", check=True)
        self.wait_image()

    def wait_image(self):
        need_layers(self.runtime)
        wait_until(lambda: glob.glob(f"{self.folder}/layers/[0-9a-f]*/image"), IMAGE_TIME, "an image")

    def assert_layers(self, name):
        self.assertIn("layers (", root_of(self.runtime, self.id_of(name)))

    def id_of(self, name):
        return self.cli("inspect", "--format", "{{.Id}}", name, check=True).out.strip()
