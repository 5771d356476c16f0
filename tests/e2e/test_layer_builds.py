# SPDX-License-Identifier: Apache-2.0
"""Images of layers while they are made, and where they cannot be made, under containerd."""

import concurrent.futures
import glob
import json
import os
import shutil
import signal
import subprocess
import time

from support.case import core, only
from test_layers import LAYERS, SUMS, LayersCase, expected_sums
from testbed.process import run, wait_until
from testbed.runtime import processes

PATIENCE = 120


@only("kata", "runc has no guest")
class LayerBuilds(LayersCase):
    """The store is empty before each test, and may take more than its disk may have."""

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.runtime.write_config(cls.runtime.config, settings={"rootfs_layers": True},
                                 factory={"layer_cache_size_mb": 1024})

    def tearDown(self):
        super().tearDown()
        wait_until(lambda: not self.builders(), PATIENCE, "builders end")
        shutil.rmtree(self.store, ignore_errors=True)

    def builders(self):
        """The processes that make images for this bed."""
        return [pid for pid, words in processes()
                if "layers" in words and self.runtime.config in words]

    def layers(self, *words):
        """What `kata-runtime layers` prints."""
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "--config", self.runtime.config, "layers",
                    *words], PATIENCE)
        self.assert_code(done, 0)
        return done.out

    def kill_a_builder(self):
        """Kills one in the middle of an image."""
        def half_made():
            return [name for name in os.listdir(self.store) if name.startswith(".new-")]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if os.path.isdir(self.store) and half_made():
                for pid in self.builders():
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not self.builders(), PATIENCE, "the killed builder ends")
                return half_made()
        raise AssertionError("no builder was seen")

    @core
    def test_a_killed_builder_is_in_nobodys_way(self):
        self.start(self.name)
        self.assertTrue(self.kill_a_builder(), "the builder had finished before it was killed")
        self.assertEqual(self.images(), [])
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.assertEqual(self.once(SUMS), expected_sums())
        self.wait_images(1)
        self.assertEqual([name for name in os.listdir(self.store) if name.startswith(".new-")], [])
        other = self.containerd.new_id()
        self.start(other)
        self.assertEqual(self.root_of(other), LAYERS)
        self.assertEqual(self.inside(other, SUMS), expected_sums())

    def test_a_full_disk_is_told_and_does_not_matter(self):
        os.mkdir(self.store, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "layers", self.store],
                       check=True)
        try:
            self.start(self.name)
            wait_until(lambda: json.loads(self.layers("list", "--json"))["failures"], PATIENCE,
                       "the failure is told")
            self.assertRegex(self.layers("list"), "not made: no space for images of layers")
            other = self.containerd.new_id()
            self.start(other)
            self.assertRegex(self.root_of(other), "shared, because .*could not be made lately")
            self.assertEqual(self.inside(other, SUMS), expected_sums())
        finally:
            wait_until(lambda: not self.builders(), PATIENCE, "builders end")
            subprocess.run(["umount", self.store], check=True)

    def test_containers_that_start_while_images_are_made_read_the_same(self):
        names = [self.containerd.new_id() for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.start, names))
        for name in names:
            self.assertEqual(self.inside(name, SUMS), expected_sums(), name)
        self.wait_images(1)
        self.assertEqual(len(self.images()), 1)

    def test_what_root_makes_and_removes_by_hand(self):
        below = "/many/7/7"
        file, = glob.glob(f"{self.containerd.base}/root/*overlayfs/snapshots/*/fs{below}")
        layer = file.removesuffix(below)
        self.assertRegex(self.layers("build", layer), r"MiB +\d+ entries")
        self.start(self.name)
        self.assertEqual(self.root_of(self.name), LAYERS)
        self.layers("prune", "--all")
        self.assertEqual(self.images(), [])
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
