# SPDX-License-Identifier: Apache-2.0
"""Root file systems that the guest puts together from images of the layers, under containerd."""

import glob
import hashlib
import os
import shutil
import subprocess
import tarfile
import unittest

from support.case import ContainerdCase, core, only
from support.docker_case import DockerCase
from support.layers import IMAGE_TIME, EngineWithLayers, need_layers, root_of
from support.podman_case import PodmanCase
from testbed import image
from testbed.docker import COMMAND_LINE, SHIM
from testbed.process import wait_until

MANY = "example.invalid/kata/many:e2e"
FILES = {f"many/{number % 50}/{number}": f"content of {number}\n" for number in range(5000)}
FOLDERS = {"many": 0o755, **{f"many/{number}": 0o755 for number in range(50)}}
# A second layer that takes away, replaces and adds; it is small.
ABOVE = {"many/0/.wh.50": "", "many/1/1": "replaced\n", "added": "above\n"}
SUMS = "cd / && find many added -type f | sort | xargs sha256sum"
LINKED = "echo x >first && ln first second && cat second && rm first && cat second"
SHARED, LAYERS = "shared", "layers (2 images, 1 made here), upper shared"


def expected_sums():
    files = {**FILES, **{path: text for path, text in ABOVE.items() if "/.wh." not in path}}
    del files["many/0/50"]
    return sums_of(files)


def sums_of(files):
    """What sha256sum says of {path: content}."""
    return "".join(f"{hashlib.sha256(files[path].encode()).hexdigest()}  {path}\n"
                   for path in sorted(files))


class LayersCase(ContainerdCase):
    """The configuration has images of layers kept in a folder of the bed, which begins empty."""

    @classmethod
    def set_up_bed(cls):
        need_layers(cls.runtime)
        cls.store = f"{cls.containerd.base}/layers"
        cls.runtime.write_config(cls.runtime.config, settings={"rootfs_layers": True})
        cls.off = cls.runtime.write_config(f"{cls.containerd.base}/off.toml",
                                           settings={"rootfs_layers": False})
        cls.import_layers(MANY, folders=FOLDERS, files=FILES, above=[ABOVE])

    @classmethod
    def import_layers(cls, name, **options):
        path = image.write_tar(f"{cls.containerd.base}/layers.tar", name, **options)
        cls.containerd.ctr("image", "import", path, check=True)
        os.unlink(path)

    @classmethod
    def images(cls):
        return glob.glob(f"{cls.store}/[0-9a-f]*/image")

    @classmethod
    def wait_images(cls, count):
        wait_until(lambda: len(cls.images()) >= count, IMAGE_TIME,
                   lambda: f"{count} images in {os.listdir(cls.store)}")

    @classmethod
    def start(cls, name, script="sleep 1000", *flags, of=MANY):
        """A container that runs on."""
        cls.containerd.ctr("run", "-d", "--runtime", cls.runtime.type, *flags, of, name, "sh", "-c",
                           script, timeout=120, check=True)

    def once(self, script, *flags, of=MANY, name=None):
        """The output of a container that ends by itself."""
        done = self.containerd.ctr("run", "--rm", "--runtime", self.runtime.type, "--fifo-dir",
                                   f"{self.containerd.base}/fifo", *flags, of,
                                   name or self.containerd.new_id(), "sh", "-c", script, timeout=180)
        self.assert_code(done, 0)
        return done.out

    def root_of(self, name):
        return root_of(self.runtime, name)

    def inside(self, name, script):
        done = self.containerd.exec(name, ["sh", "-c", script], timeout=120)
        self.assert_code(done, 0)
        return done.out

    def upper(self, name):
        """The directory on the host that has what a container has written."""
        mounts = self.containerd.ctr("snapshot", "mounts", "/mnt", name, check=True).out
        return next(word for word in mounts.replace(",", " ").split()
                    if word.startswith("upperdir=")).split("=", 1)[1]


def listing(directory):
    """What stands in an upper directory, as a program that copies layers sees it."""
    lines = []
    for folder, _, _ in os.walk(directory):
        for name in (".", *os.listdir(folder)):
            path = f"{folder}/{name}"
            status = os.lstat(path)
            xattrs = {word: os.getxattr(path, word, follow_symlinks=False)
                      for word in os.listxattr(path, follow_symlinks=False)
                      # Notes of kernels for themselves; the last one is the host's.
                      if word.removeprefix("trusted.overlay.") not in ("origin", "impure", "uuid")}
            link = os.readlink(path) if os.path.islink(path) else ""
            size = 0 if os.path.isdir(path) else status.st_size
            lines.append((os.path.relpath(path, directory), oct(status.st_mode), status.st_uid,
                          status.st_rdev, size, link, sorted(xattrs.items())))
    return sorted(set(map(repr, lines)))


@only("kata", "runc has no guest")
class FirstStarts(LayersCase):
    """Where there are no images yet."""

    def tearDown(self):
        super().tearDown()
        shutil.rmtree(self.store, ignore_errors=True)

    @core
    def test_the_first_start_is_shared_and_has_images_made_for_the_next(self):
        self.start(self.name)
        self.assertEqual(self.root_of(self.name),
                         "shared, because images of 1 of its 2 layers are still to be made")
        self.assertEqual(self.inside(self.name, "grep -c ' / virtiofs ' /proc/mounts"), "1\n")
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.wait_images(1)
        other = self.containerd.new_id()
        self.start(other)
        self.assertEqual(self.root_of(other), LAYERS)
        self.assertEqual(self.inside(other, "grep -c '^overlay / overlay ' /proc/mounts"), "1\n")
        self.assertEqual(self.inside(other, SUMS), expected_sums())

    def test_an_image_that_cannot_be_read_is_made_anew(self):
        self.once("true")
        self.wait_images(1)
        os.truncate(self.images()[0], 4096)
        self.start(self.name)
        self.assertRegex(self.root_of(self.name), "shared, because")
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        wait_until(lambda: any(os.path.getsize(path) > 4096 for path in self.images()), IMAGE_TIME,
                   "the new image")
        self.assertEqual(self.once(SUMS), expected_sums())

    def test_a_layer_that_was_changed_by_hand_is_another(self):
        self.once("true")
        self.wait_images(1)
        self.start(self.name)
        self.assertEqual(self.root_of(self.name), LAYERS)
        old, = self.images()
        self.containerd.remove(self.name)
        changed, = glob.glob(f"{self.containerd.base}/root/*overlayfs/snapshots/*/fs/many/7/7")
        with open(changed, "r+") as file:
            before = os.stat(changed)
            file.write("CONTENT")
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
        try:
            self.start(self.name)
            self.assertRegex(self.root_of(self.name), "shared, because images of 1 of its 2")
            self.assertEqual(self.inside(self.name, "cat /many/7/7"), "CONTENT of 7\n")
            wait_until(lambda: len(set(self.images()) - {old}) == 1, IMAGE_TIME, "the new image")
            self.assertEqual(self.once("cat /many/7/7"), "CONTENT of 7\n")
            wait_until(lambda: old not in self.images(), IMAGE_TIME, "the old image is gone")
        finally:
            with open(changed, "r+") as file:
                file.write("content")

    @core
    def test_hard_links_outlive_their_first_name_where_the_root_is_shared(self):
        script = f"cd /tmp && {LINKED} && cd /v && {LINKED}"
        volume = f"{self.containerd.base}/{self.name}"
        os.mkdir(volume)
        self.assertEqual(self.once(script, "--runtime-config-path", self.off, "--mount",
                                   f"type=bind,src={volume},dst=/v,options=rbind:rw"), "x\n" * 4)

    def test_off_means_shared(self):
        self.start(self.name, "sleep 1000", "--runtime-config-path", self.off)
        self.assertEqual(self.root_of(self.name), SHARED)
        self.assertEqual(self.inside(self.name, "grep -c ' / virtiofs ' /proc/mounts"), "1\n")
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.assertFalse(os.path.exists(self.store))


@only("kata", "runc has no guest")
class Layers(LayersCase):
    """Where there are images."""

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.start("first")
        cls.wait_images(1)
        cls.containerd.remove("first")

    def test_hard_links_outlive_their_first_name_in_volumes(self):
        volume = f"{self.containerd.base}/{self.name}"
        os.mkdir(volume)
        self.assertEqual(self.once(f"grep -q ' / overlay ' /proc/mounts && cd /v && {LINKED}", "--mount",
                                   f"type=bind,src={volume},dst=/v,options=rbind:rw"), "x\n" * 2)

    @core
    def test_hard_links_outlive_their_first_name(self):
        self.assertEqual(self.once(f"cd /tmp && {LINKED}"), "x\n" * 2)

    def test_other_names_outlive_one_that_is_replaced_or_moved(self):
        self.assertEqual(self.once("cd /tmp && echo x >first && ln first second && ln first third && cat second && "
                                   "echo y >new && mv new first && cat second && mv second moved && "
                                   "cat moved && exec 3<third && rm moved && cat third && echo z >>third && "
                                   "cat <&3 && ls && stat -c %h third"),
                         "x\nx\nx\nx\nx\nz\nfirst\nthird\n1\n")

    def test_hard_links_that_were_not_used_before_outlive_their_first_name(self):
        self.assertEqual(self.once("cd /tmp && echo x >first && ln first second && rm first && cat second"),
                         "x\n")

    def test_the_host_has_a_file_that_has_lost_its_first_name(self):
        self.start(self.name)
        self.containerd.exec(self.name, ["sh", "-c", f"cd / && {LINKED}"])
        with open(f"{self.upper(self.name)}/second") as file:
            self.assertEqual(file.read(), "x\n")

    @core
    def test_writes_leave_on_the_host_what_they_leave_under_runc(self):
        script = ("rm -r /many/3 /many/4 /added; mkdir /many/4; echo new > /many/4/new; "
                  "echo changed > /many/5/5; echo more >> /many/6/6; chmod 600 /many/7/7; "
                  "chown 5:6 /many/8/8; mv /many/9/9 /moved; mv /many/10 /directory; "
                  "ln -s target /link; mkfifo /fifo; mknod /null c 1 3; ln /moved /many/9/again; "
                  "mkdir -p /new/deep; chmod 2755 /new; touch -d @1000 /new/old; rm /many/11/11; "
                  "mkdir /many/11/11; sync")
        self.start(self.name, f"{script}; echo done > /done; exec sleep 1000")
        self.assertEqual(self.root_of(self.name), LAYERS)
        wait_until(lambda: os.path.exists(f"{self.upper(self.name)}/done"), 60, "the script's end")
        plain = self.containerd.new_id()
        # containerd's own shim leaves it.
        self.addCleanup(os.rmdir, f"/run/containerd/runc/{self.containerd.namespace}")
        self.containerd.ctr("run", "-d", "--runtime", "io.containerd.runc.v2", MANY, plain, "sh",
                            "-c", f"{script}; echo done > /done; exec sleep 1000", check=True)
        wait_until(lambda: os.path.exists(f"{self.upper(plain)}/done"), 60, "the script's end")
        self.assertEqual(listing(self.upper(self.name)), listing(self.upper(plain)))

    @core
    def test_a_container_that_is_started_again_has_what_it_wrote(self):
        self.start(self.name, "cat /kept; rm /many/3/3; echo written > /kept; sleep 1000")
        wait_until(lambda: self.inside(self.name, "cat /kept 2>/dev/null; true") == "written\n", 60,
                   "the file")
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name)
        self.wait_status(self.name, "STOPPED", 60)
        self.containerd.ctr("task", "delete", self.name, check=True)
        self.containerd.ctr("task", "start", "-d", self.name, check=True, timeout=120)
        self.assertEqual(self.root_of(self.name), LAYERS)
        self.assertEqual(self.inside(self.name, "cat /kept; ls /many/3/3 2>&1; true"),
                         "written\nls: /many/3/3: No such file or directory\n")

    def test_a_read_only_root_is(self):
        self.start(self.name, "sleep 1000", "--read-only", "--mount",
                   "type=tmpfs,src=tmpfs,dst=/made/here,options=rw")
        self.assertEqual(self.root_of(self.name),
                         "layers (2 images, 1 made here), upper shared and not written to")
        self.assertRegex(self.inside(self.name, "touch /file 2>&1; touch /made/here/file && echo mounted"),
                         "Read-only file system\nmounted\n")
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.containerd.remove(self.name)
        self.assert_clean()

    @core
    def test_containers_of_a_pod_read_one_image(self):
        words = ("--annotation", f"io.kubernetes.cri.sandbox-id={self.name}", "--annotation")
        kind = "io.kubernetes.cri.container-type="
        self.start(self.name, "sleep 1000", *words, kind + "sandbox")
        member = self.containerd.new_id()
        self.start(member, "sleep 1000", *words, kind + "container")
        for name in (self.name, member):
            self.assertEqual(self.root_of(name), LAYERS)
            self.assertEqual(self.inside(name, SUMS), expected_sums())
        loops = "cat /sys/block/loop*/loop/backing_file"
        self.assertEqual(len(self.inside(self.name, loops).splitlines()), 2)
        self.inside(member, "echo mine > /file")
        self.assertEqual(self.inside(self.name, "ls /file 2>&1; true"),
                         "ls: /file: No such file or directory\n")
        self.containerd.remove(member)
        self.assertEqual(self.inside(self.name, SUMS), expected_sums())
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_files_go_on_when_image_and_cache_are_gone(self):
        self.import_layers("example.invalid/kata/brief:e2e", folders=FOLDERS, files=FILES, mtime=1)
        brief = {"of": "example.invalid/kata/brief:e2e"}
        self.once("true", **brief)
        wait_until(lambda: len(self.images()) == 2, IMAGE_TIME, "the second image")
        self.start(self.name, **brief)
        self.assertEqual(self.root_of(self.name), "layers (1 image), upper shared")
        kept = f"{self.store}.kept"
        shutil.copytree(self.store, kept)
        try:
            shutil.rmtree(self.store)
            self.containerd.ctr("image", "rm", brief["of"], check=True)
            self.inside(self.name, "echo 3 > /proc/sys/vm/drop_caches 2>/dev/null; true")
            self.assertEqual(self.inside(self.name, "cd / && find many -type f | sort | xargs sha256sum"),
                             sums_of(FILES))
            other = self.containerd.new_id()
            self.start(other)
            self.assertRegex(self.root_of(other), "shared, because")
            self.assertEqual(self.inside(other, SUMS), expected_sums())
        finally:
            self.wait_images(1)
            shutil.rmtree(kept)

    def test_seventy_layers(self):
        name = "example.invalid/kata/seventy:e2e"
        self.import_layers(name, above=[{f"layer-{number}": f"{number}\n"} for number in range(69)])
        self.once("true", of=name)
        wait_until(lambda: len(self.images()) >= 2, IMAGE_TIME, "the image of the lowest one")
        self.start(self.name, of=name)
        self.assertEqual(self.root_of(self.name), "layers (70 images, 69 made here), upper shared")
        self.assertEqual(self.inside(self.name, "cat /layer-0 /layer-68; ls -d /layer-* | wc -l"),
                         "0\n68\n69\n")

    def test_a_killed_machine_leaves_nothing(self):
        self.start(self.name, "while true; do echo more >> /log; done")
        self.assertEqual(self.root_of(self.name), LAYERS)
        os.kill(self.runtime.victims(self.containerd, self.name)["vmm"], 9)
        self.wait_status(self.name, "STOPPED", 60)
        self.containerd.remove(self.name)
        self.assert_clean()
        self.assertNotIn("layers", subprocess.check_output(["mount"], text=True))


@only("kata", "runc has no guest")
class OnAnotherKernel(ContainerdCase):
    @core
    def test_roots_are_shared_and_no_images_are_made(self):
        if not self.runtime.lacks("overlayfs-links"):
            self.skipTest("this kernel is kata-cpp's own")
        self.containerd.run_detached(self.name, ["sleep", "1000"])
        self.assertIn("shared, because the guest's kernel loses files", root_of(self.runtime, self.name))
        self.assertEqual(glob.glob(f"{self.containerd.base}/layers/*"), [])


class EngineLayers(EngineWithLayers):
    """What engines say of containers that run."""

    script = ("echo new > /etc/new; rm /etc/kata-e2e; mkdir /made; chmod 600 /etc/group; "
              "ln -s new /etc/link; echo done; exec sleep 1000")

    def both(self):
        """The names of a container with layers and of one of runc, which have run the script."""
        self.make_images()
        names = ("layers", "plain")
        for name in names:
            self.cli("run", "--detach", "--name", name, "--network", "none", self.image, "sh", "-c",
                     self.script, plain=name == "plain", check=True)
            wait_until(lambda name=name: "done" in self.cli("logs", name).out, 120, "the script's end")
        self.assert_layers("layers")
        return names

    def archive(self, name, words):
        path = f"{self.folder}/{name}.tar"
        self.cli("export", "--output", path, name, check=True)
        with tarfile.open(path) as tar:
            return sorted((each.name, each.mode, each.uid, each.size, each.linkname, each.type)
                          for each in tar if each.name.split("/")[0] in words)

    @core
    def test_the_engine_sees_what_it_sees_under_runc(self):
        layers, plain = self.both()
        self.assertEqual(*(sorted(self.cli("diff", name, check=True).out.splitlines())
                           for name in (layers, plain)))
        self.assertEqual(*(self.archive(name, ("etc", "made", "bin")) for name in (layers, plain)))
        for name in (layers, plain):
            self.cli("commit", name, f"kata/{name}", check=True)
            self.cli("cp", f"{name}:/etc/new", f"{self.folder}/{name}.new", check=True)
            with open(f"{self.folder}/{name}.new") as file:
                self.assertEqual(file.read(), "new\n")
            said = self.cli("run", "--rm", "--network", "none", f"kata/{name}", "sh", "-c",
                            "cat /etc/link; ls -ld /etc/group /made /etc/kata-e2e 2>&1 | cut -c1-10",
                            check=True).out
            self.assertEqual(said, "new\nls: /etc/k\n-rw-------\ndrwxr-xr-x\n")
        self.cli("rm", "--force", "first", layers, plain, check=True)

    @core
    def test_what_is_copied_into_directories_in_use_is_seen(self):
        self.make_images()
        self.cli("run", "--detach", "--name", "reader", "--network", "none", "--workdir", "/home",
                 self.image, "sh", "-c", "echo begun; until grep -q etc /etc/go && grep -q home /home/go; do "
                 "sleep 0.1; done 2>/dev/null; cat /etc/go /home/go; echo seen; exec sleep 1000", check=True)
        wait_until(lambda: "begun" in self.cli("logs", "reader").out, 120, "the reader")
        self.assert_layers("reader")
        for directory in ("etc", "home"):
            with open(f"{self.folder}/go", "w") as file:
                file.write(f"to {directory}\n")
            self.cli("cp", f"{self.folder}/go", f"reader:/{directory}/go", check=True)
        wait_until(lambda: "seen" in self.cli("logs", "reader").out, 60,
                   lambda: self.cli("logs", "reader").out)
        self.assertEqual(self.cli("logs", "reader").out, "begun\nto etc\nto home\nseen\n")
        self.cli("rm", "--force", "first", "reader", check=True)

    def test_a_container_that_is_started_again_has_what_it_wrote(self):
        self.cli("run", "--name", "again", "--network", "none", self.image, "sh", "-c",
                 "cat /kept 2>/dev/null; rm -f /etc/kata-e2e; echo written > /kept", check=True)
        self.wait_image()
        for _ in range(2):
            self.cli("start", "--attach", "again", check=True)
        self.assertEqual(self.cli("logs", "again", check=True).out, "written\nwritten\n")


@only("kata", "runc has no guest")
class ThroughContainerd(EngineLayers, DockerCase):
    door = SHIM


@only("kata", "runc has no guest")
class ThroughTheCommandLine(EngineLayers, DockerCase):
    door = COMMAND_LINE


@only("kata", "runc has no guest")
class Podman(EngineLayers, PodmanCase):
    pass
