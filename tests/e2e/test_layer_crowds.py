# SPDX-License-Identifier: Apache-2.0
"""Many containers of one image, images that go, and power cuts, with roots made of layers."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from support.case import only
from support.docker_case import DockerCase
from support.layers import EngineWithLayers
from test_layers import LAYERS, SUMS, LayersCase, expected_sums
from testbed.docker import COMMAND_LINE, SHIM
from testbed.process import wait_until

CROWD = 50


@only("kata", "runc has no guest")
class Crowds(LayersCase):
    """Where there are images."""

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.start("first")
        cls.wait_images(1)
        cls.containerd.remove("first")

    def test_fifty_containers_of_one_image_at_once(self):
        names = [self.containerd.new_id() for _ in range(CROWD)]
        with ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(self.start, names))
        self.assertEqual({self.containerd.status(name) for name in names}, {"RUNNING"})
        self.assertEqual({self.root_of(name) for name in names}, {LAYERS})
        # Each writes to its own.
        for name in names:
            self.inside(name, f"echo {name} >/many/1/mine")
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda name: self.inside(name, "cat /many/1/mine /many/49/4999 /added"), names))
        self.assertEqual(said, [f"{name}\ncontent of 4999\nabove\n" for name in names])
        for name in names[::25]:
            self.inside(name, "rm /many/1/mine")
            self.assertEqual(self.inside(name, SUMS), expected_sums())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.containerd.remove, names))
        self.assert_clean()

    def test_what_was_synced_is_there_after_a_power_cut(self):
        self.start(self.name, "i=0; while :; do i=$((i + 1)); echo $i >/many/2/new-$i; sync /many/2/new-$i; "
                   "rm -f /many/2/$((i * 50 + 2)); echo $i >/next; mv /next /number; done")
        self.assertEqual(self.root_of(self.name), LAYERS)
        upper = self.upper(self.name)

        def number():
            with open(f"{upper}/number") as file:
                return int(file.read())
        wait_until(lambda: os.path.exists(f"{upper}/number") and number() > 20, 120, "writes")
        os.kill(self.runtime.victims(self.containerd, self.name)["vmm"], signal.SIGKILL)
        self.wait_status(self.name, "STOPPED", 60)
        reached = number()
        for each in range(1, reached + 1):
            with open(f"{upper}/many/2/new-{each}") as file:
                self.assertEqual(file.read(), f"{each}\n")
        self.containerd.ctr("task", "delete", self.name)
        self.containerd.ctr("task", "start", "-d", self.name, check=True, timeout=120)
        self.assertEqual(self.root_of(self.name), LAYERS)
        # Another first process, which begins anew, in the same files.
        self.assertEqual(self.inside(self.name, f"cat /many/2/new-{reached}; ls /many/2/52 2>&1"
                                     "; cat /many/49/4999; true"),
                         f"{reached}\nls: /many/2/52: No such file or directory\ncontent of 4999\n")

    def test_a_killed_shim_leaves_nothing_beside_the_upper_layer(self):
        # Nobody else would remove its fifos.
        self.start(self.name, "sleep 1000", "--fifo-dir", f"{self.containerd.base}/fifo")
        self.assertEqual(self.root_of(self.name), LAYERS)
        layer = os.path.dirname(self.upper(self.name))
        self.assertEqual(sorted(os.listdir(f"{layer}/work")), ["kata", "work"])
        os.kill(self.runtime.victims(self.containerd, self.name)["shim"], signal.SIGKILL)
        wait_until(lambda: self.containerd.status(self.name) != "RUNNING", 60, "the end is seen")
        wait_until(lambda: os.listdir(f"{layer}/work") == ["work"], 60, lambda: os.listdir(f"{layer}/work"))
        self.assertEqual(sorted(os.listdir(layer)), ["fs", "work"])


class ImageRemoval(EngineWithLayers):
    """What goes on when an engine has removed a container's image."""

    def test_files_go_on_when_the_image_is_removed_by_force(self):
        self.make_images()
        self.cli("tag", self.image, "kata/goes:1", check=True)
        self.cli("run", "--detach", "--name", "stays", "--network", "none", "kata/goes:1", "sh", "-c",
                 "sleep 1000", check=True)
        self.assert_layers("stays")
        self.cli("rmi", "--force", "kata/goes:1", check=True)
        said = self.cli("exec", "stays", "sh", "-c", "cat /etc/kata-e2e; echo new >/etc/new; ls /bin | wc -l").out
        self.assertRegex(said, r"^made for tests\n\d{3}\n$")
        self.cli("restart", "--time", "0", "stays", check=True)
        self.assert_layers("stays")
        self.assertEqual(self.cli("exec", "stays", "cat", "/etc/new", check=True).out, "new\n")
        self.cli("rm", "--force", "first", "stays", check=True)


@only("kata", "runc has no guest")
class RemovalThroughContainerd(ImageRemoval, DockerCase):
    door = SHIM


@only("kata", "runc has no guest")
class RemovalThroughTheCommandLine(ImageRemoval, DockerCase):
    door = COMMAND_LINE

    def test_thirty_containers_at_once(self):
        self.make_images()
        names = [self.bed.new_name() for _ in range(30)]

        def start(name):
            self.cli("run", "--detach", "--name", name, "--network", "none", self.image, "sleep", "1000",
                     check=True, timeout=300)
        with ThreadPoolExecutor(30) as pool:
            list(pool.map(start, names))
        for name in names:
            self.assert_layers(name)
        for name in names:
            self.assertEqual(self.cli("exec", name, "cat", "/etc/kata-e2e", check=True).out, "made for tests\n")
