# SPDX-License-Identifier: Apache-2.0
"""Root file systems whose changes are on a disk of the guest's while the container runs."""

import os
import shutil
import tarfile

from support.case import core, only
from support.docker_case import DockerCase
from support.layers import EngineWithLayers, root_of
from support.podman_case import PodmanCase
from test_layers import LINKED, MANY, SUMS, LayersCase, expected_sums, listing
from testbed.docker import COMMAND_LINE, SHIM
from testbed.process import wait_until

DISK = "layers (2 images, 1 made here), upper disk"
KEPT = "kata-upper.ext4"
ALONE = "disks of layers (2 images, 1 made here), upper disk"
SETTINGS = {"rootfs_layers": True, "rootfs_upper": "disk", "rootfs_upper_size": "1G"}
CHANGES = ("rm -r /many/3 /many/4 /added; mkdir /many/4; echo new > /many/4/new; "
           "echo changed > /many/5/5; chmod 600 /many/7/7; chown 5:6 /many/8/8; mv /many/9/9 /moved; "
           "mv /many/10 /directory; ln -s target /link; mkfifo /fifo; mknod /null c 1 3; "
           "ln /moved /many/9/again; mkdir -p /new/deep; chmod 2755 /new; touch -d @1000 /new/old; "
           "rm /many/11/11; mkdir /many/11/11; truncate -s 1G /sparse")


class OnADisk(LayersCase):
    """What both kinds of such roots have in common."""

    made_of = DISK

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.configure()
        cls.start("first")
        cls.wait_images(1)
        cls.containerd.remove("first")

    @classmethod
    def configure(cls):
        cls.runtime.write_config(cls.runtime.config, settings=SETTINGS)
        cls.shared = cls.runtime.write_config(f"{cls.containerd.base}/shared.toml",
                                              settings={"rootfs_layers": True})

    def beside(self, name):
        return os.path.dirname(self.upper(name))

    def end(self, name):
        """The container's process ends; what is left of it is its snapshot."""
        self.containerd.ctr("task", "kill", "-s", "KILL", name)
        self.wait_status(name, "STOPPED", 60)
        self.containerd.ctr("task", "delete", name, check=True, timeout=120)

    def restart(self, name):
        self.containerd.ctr("task", "start", "-d", name, check=True, timeout=120)

    @core
    def test_the_host_gets_what_runc_would_have_left(self):
        self.start(self.name, f"{CHANGES}; echo done > /done; exec sleep 1000")
        self.assertEqual(self.root_of(self.name), self.made_of)
        wait_until(lambda: self.inside(self.name, "cat /done 2>/dev/null; true") == "done\n", 60,
                   "the script's end")
        self.assertEqual(self.inside(self.name, "grep -c '^overlay / overlay ' /proc/mounts"), "1\n")
        self.assertEqual(os.listdir(self.upper(self.name)), [])
        self.assertIn(KEPT, os.listdir(self.beside(self.name)))
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name)
        self.wait_status(self.name, "STOPPED", 60)
        self.assertIn("done", os.listdir(self.upper(self.name)))
        self.containerd.ctr("task", "delete", self.name, check=True, timeout=120)
        self.assertEqual(sorted(os.listdir(self.beside(self.name))), ["fs", "work"])
        plain = self.containerd.new_id()
        self.addCleanup(os.rmdir, f"/run/containerd/runc/{self.containerd.namespace}")
        self.containerd.ctr("run", "-d", "--runtime", "io.containerd.runc.v2", MANY, plain, "sh",
                            "-c", f"{CHANGES}; echo done > /done; exec sleep 1000", check=True)
        wait_until(lambda: os.path.exists(f"{self.upper(plain)}/done"), 60, "the script's end")
        self.assertEqual(listing(self.upper(self.name)), listing(self.upper(plain)))
        self.assertLess(os.stat(f"{self.upper(self.name)}/sparse").st_blocks, 1000)

    @core
    def test_a_pause_shows_the_host_what_there_is(self):
        self.start(self.name, "echo 1 > /one; rm /added; exec sleep 1000")
        wait_until(lambda: self.inside(self.name, "cat /one 2>/dev/null; true") == "1\n", 60, "the file")
        self.containerd.ctr("task", "pause", self.name, check=True, timeout=60)
        self.assertEqual(sorted(os.listdir(self.upper(self.name))), ["added", "one"])
        self.containerd.ctr("task", "resume", self.name, check=True)
        self.inside(self.name, "rm /one; echo 2 > /two")
        self.end(self.name)
        self.assertEqual(sorted(os.listdir(self.upper(self.name))), ["added", "two"])

    @core
    def test_a_container_that_is_started_again_has_what_it_wrote(self):
        self.start(self.name, "cat /kept; rm /many/3/3; echo written > /kept; sleep 1000")
        wait_until(lambda: self.inside(self.name, "cat /kept 2>/dev/null; true") == "written\n", 60,
                   "the file")
        self.end(self.name)
        self.restart(self.name)
        self.assertEqual(self.root_of(self.name), self.made_of)
        self.assertEqual(self.inside(self.name, "cat /kept; ls /many/3/3 2>&1; true"),
                         "written\nls: /many/3/3: No such file or directory\n")
        self.end(self.name)

    def test_hard_links_outlive_their_first_name(self):
        self.assertEqual(self.once(f"cd /tmp && {LINKED}"), "x\n" * 2)

    def test_a_disk_beside_another_containers_goes_with_its_container(self):
        pod = [("--annotation", f"io.kubernetes.cri.sandbox-id={self.name}", "--annotation",
                f"io.kubernetes.cri.container-type={kind}") for kind in ("sandbox", "container")]
        other = self.containerd.new_id()
        self.start(self.name, "exec sleep 1000", *pod[0])
        self.start(other, "echo 1 > /one; exec sleep 1000", *pod[1])
        self.assertEqual([self.root_of(name) for name in (self.name, other)], [self.made_of] * 2)
        self.end(other)
        self.assertEqual(os.listdir(self.upper(other)), ["one"])
        self.assertEqual(self.inside(self.name, "echo still > /here; cat /here"), "still\n")
        self.end(self.name)

    def kill_machine(self, script):
        """A container whose machine ended before its files were brought back: /kept is among them."""
        self.start(self.name, f"[ -e /kept ] || echo synced > /kept; {script}; sync; sleep 1000")
        wait_until(lambda: self.inside(self.name, "cat /kept 2>/dev/null; true") == "synced\n", 60,
                   "the file")
        self.inside(self.name, "sync")
        os.kill(self.runtime.victims(self.containerd, self.name)["vmm"], 9)
        self.wait_status(self.name, "STOPPED", 60)
        self.containerd.ctr("task", "delete", self.name, timeout=120)
        self.assertIn(KEPT, os.listdir(self.beside(self.name)))

    @core
    def test_files_of_a_killed_machine_are_there_at_the_next_start(self):
        self.kill_machine("rm /added")
        self.restart(self.name)
        self.assertEqual(self.inside(self.name, "cat /kept; ls /added 2>&1; true"),
                         "synced\nls: /added: No such file or directory\n")
        self.end(self.name)
        self.assertEqual(sorted(os.listdir(self.upper(self.name))), ["added", "kept"])
        self.assertEqual(sorted(os.listdir(self.beside(self.name))), ["fs", "work"])


@only("kata", "runc has no guest")
class UpperDisk(OnADisk):
    def test_a_container_can_ask_for_it(self):
        self.start(self.name, "echo 1 > /one; exec sleep 1000", "--runtime-config-path", self.shared,
                   "--annotation", "io.katacontainers.config.runtime.rootfs_upper=disk")
        self.assertEqual(self.root_of(self.name), self.made_of)
        wait_until(lambda: self.inside(self.name, "cat /one 2>/dev/null; true") == "1\n", 60, "the file")
        self.end(self.name)
        self.assertIn("one", os.listdir(self.upper(self.name)))

    def test_a_root_is_not_started_without_the_files_of_a_killed_machine(self):
        self.kill_machine("true")
        away = f"{self.store}.away"
        os.rename(self.store, away)
        try:
            done = self.containerd.ctr("task", "start", "-d", self.name, timeout=120)
        finally:
            shutil.rmtree(self.store, ignore_errors=True)
            os.rename(away, self.store)
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, f"images of 1 of its 2 layers .* the disk .*{KEPT}")
        self.runtime.write_config(self.runtime.config, settings={"rootfs_layers": False})
        done = self.containerd.ctr("task", "start", "-d", self.name, timeout=120)
        self.runtime.write_config(self.runtime.config, settings=SETTINGS)
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, f"rootfs_layers is off.* the disk .*{KEPT}")
        self.restart(self.name)
        self.assertEqual(self.inside(self.name, "cat /kept"), "synced\n")
        self.end(self.name)


@only("kata", "runc has no guest")
class DisksAlone(OnADisk):
    """Nothing is shared: all of the root is disks."""

    made_of = ALONE

    @classmethod
    def configure(cls):
        cls.runtime.write_config(cls.runtime.config, settings={"rootfs_upper_size": "1G"},
                                 **cls.runtime.sharing(files=False))

    @core
    def test_images_that_are_missing_are_made_before_the_first_start(self):
        shutil.rmtree(self.store)
        self.start(self.name)
        self.assertEqual(self.root_of(self.name), ALONE)
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.assertEqual(sorted(self.runtime.victims(self.containerd, self.name)), ["shim", "vmm"])

    def test_a_read_only_root_is_held_by_the_guest(self):
        self.assertEqual(self.once("cat /added; echo x > /here || echo refused", "--read-only"),
                         "above\nrefused\n")

    def test_containers_of_one_pod_have_the_disks_of_layers_in_common(self):
        pod = [("--annotation", f"io.kubernetes.cri.sandbox-id={self.name}", "--annotation",
                f"io.kubernetes.cri.container-type={kind}") for kind in ("sandbox", "container")]
        other = self.containerd.new_id()
        self.start(self.name, "exec sleep 1000", *pod[0])
        before = self.inside(self.name, "ls /sys/block | grep -c ^sd")
        self.start(other, "exec sleep 1000", *pod[1])
        # Its own, and the small layer's, which each makes anew, but for the same key.
        self.assertEqual(int(self.inside(self.name, "ls /sys/block | grep -c ^sd")), int(before) + 1)
        self.end(self.name)
        self.assertEqual(self.inside(other, SUMS), expected_sums())
        self.end(other)


class EngineUpperDisk(EngineWithLayers):
    """A mixin for engines that mount the root themselves."""

    settings = SETTINGS
    commit = ("commit",)
    def has(self, path):
        return self.cli("cp", f"disk:{path}", f"{self.folder}/copied").code == 0

    @core
    def test_the_engine_sees_what_was_written_at_a_pause_and_at_the_end(self):
        self.make_images()
        self.cli("run", "--detach", "--name", "disk", "--network", "none", self.image, "sh", "-c",
                 "cat /kept; echo 1 > /kept; rm /etc/kata-e2e; trap exit TERM; echo done; "
                 "while true; do sleep 0.1; done", check=True)
        wait_until(lambda: "done" in self.cli("logs", "disk").out, 120, "the script's end")
        self.assertIn("upper disk", root_of(self.runtime, self.id_of("disk")))
        self.assertFalse(self.has("/kept"))
        self.cli("pause", "disk", check=True)
        self.assertTrue(self.has("/kept"))
        self.cli("unpause", "disk", check=True)
        self.cli("exec", "disk", "sh", "-c", "echo 2 > /second", check=True)
        # No image is called as the container is: Podman's diff would be that of the image.
        self.cli(*self.commit, "disk", "kata/committed", check=True)
        said = self.cli("run", "--rm", "--network", "none", "kata/committed", "sh", "-c",
                        "cat /kept /second; ls /etc/kata-e2e 2>&1; true", check=True).out
        self.assertEqual(said, "1\n2\nls: /etc/kata-e2e: No such file or directory\n")
        self.cli("exec", "disk", "sh", "-c", "i=0; while [ $i -lt 20 ]; do echo $i > /n$i; i=$((i+1)); done",
                 check=True)
        self.cli("stop", "disk", check=True)
        changes = self.cli("diff", "disk", check=True).out.splitlines()
        self.assertLessEqual({"A /kept", "A /second", "D /etc/kata-e2e", "A /n0", "A /n19"}, set(changes))
        self.assertTrue(self.has("/n19"))
        self.cli("export", "--output", f"{self.folder}/exported", "disk", check=True)
        with tarfile.open(f"{self.folder}/exported") as tar:
            self.assertIn("n19", tar.getnames())
        self.cli("start", "disk", check=True)
        wait_until(lambda: self.cli("logs", "disk").out.count("done") == 2, 120, "the second end")
        self.assertIn("1\n", self.cli("logs", "disk").out)
        self.cli("rm", "--force", "first", "disk", check=True)


@only("kata", "runc has no guest")
class ThroughContainerd(EngineUpperDisk, DockerCase):
    door = SHIM


@only("kata", "runc has no guest")
class ThroughTheCommandLine(EngineUpperDisk, DockerCase):
    door = COMMAND_LINE


@only("kata", "runc has no guest")
class Podman(EngineUpperDisk, PodmanCase):
    commit = ("commit", "--pause")


class EngineDisksAlone(EngineUpperDisk):
    """The same where nothing is shared."""

    settings = {"rootfs_upper_size": "1G"}
    shares_files = False


@only("kata", "runc has no guest")
class AloneThroughContainerd(EngineDisksAlone, DockerCase):
    door = SHIM


@only("kata", "runc has no guest")
class AloneThroughTheCommandLine(EngineDisksAlone, DockerCase):
    door = COMMAND_LINE


@only("kata", "runc has no guest")
class AloneUnderPodman(EngineDisksAlone, PodmanCase):
    commit = ("commit", "--pause")
