# SPDX-License-Identifier: Apache-2.0
"""Root file systems that are disks of the machine, with and without a shared directory beside them."""

import glob
import os
import shutil
import subprocess
import unittest

from support import grpc
from support.case import ContainerdCase, Settings, core, only
from support.ttrpc import RpcError
from testbed import image
from testbed.containerd import kill
from testbed.process import wait_until

MIB = 1 << 20


def make_disk(path, mib=32, programs=()):
    """A file with the image's files in an ext4, and `programs` in its /bin."""
    tree = f"{path}.tree"
    image.write_tree(tree)
    for program in programs:
        shutil.copy(program, f"{tree}/bin")
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-d", tree, path], check=True)
    return path


def file_on(disk, path):
    """What a disk that nobody uses has at `path`, read without a mount."""
    return subprocess.run(["/sbin/debugfs", "-R", f"cat {path}", disk], check=True,
                          capture_output=True, text=True).stdout


def whole(disk):
    """Whether its file system was left in order, as by an unmount."""
    return subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True).returncode == 0


class DiskCase(ContainerdCase):
    config = None

    def setUp(self):
        super().setUp()
        self.disk = make_disk(f"{self.containerd.base}/{self.name}.img")
        self.output = f"{self.containerd.base}/{self.name}.out"

    def create(self, script, *flags, name=None, rootfs=None):
        """A task on a root file system of its own; its output goes to self.output."""
        name = name or self.name
        if os.path.exists(self.output):
            os.unlink(self.output)
        if self.config:
            flags = (*flags, "--runtime-config-path", self.config)
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, *flags,
                            self.image, name, "script", script, check=True)
        return grpc.create_task(self.containerd, name, stdout=f"file://{self.output}", timeout=120,
                                rootfs=rootfs or [("ext4", self.disk, ["loop"])])

    def run_on(self, script, *flags, code=0, **options):
        """What a container says that ends by itself."""
        name = options.get("name") or self.name
        self.create(script, *flags, **options)
        grpc.start_task(self.containerd, name)
        self.wait_status(name, "STOPPED", 60)
        self.assertEqual(grpc.delete_task(self.containerd, name)[0], code, self.read_output())
        return self.read_output()

    def run_in_pod(self, script, *flags):
        """(disk, output) of a container beside one that sleeps in a pod."""
        member = f"{self.name}-m"
        words = ("--annotation", f"io.kubernetes.cri.sandbox-id={self.name}", "--annotation")
        kind = "io.kubernetes.cri.container-type="
        self.create("sleep 1000", *words, kind + "sandbox", *flags)
        grpc.start_task(self.containerd, self.name)
        self.output += "-m"
        disk = make_disk(f"{self.containerd.base}/{member}.img")
        return disk, self.run_on(script, *words, kind + "container", *flags, name=member,
                                 rootfs=[("ext4", disk, ["loop"])])

    def read_output(self):
        try:
            with open(self.output) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def refusal(self, *arguments, **options):
        with self.assertRaises(RpcError) as refused:
            self.create(*arguments, **options)
        return str(refused.exception)


class RootDiskTests:
    """For both kinds of machines."""

    @core
    def test_a_file_is_the_containers_disk_and_keeps_what_was_written(self):
        said = self.run_on("grep -E ' / | /bin ' /proc/mounts; cat /etc/kata-e2e; "
                           "mkdir /kept && echo written > /kept/file")
        self.assertRegex(said, r"^/dev/\w+ / ext4 rw")
        self.assertIn("made for tests", said)
        self.assertEqual(file_on(self.disk, "/kept/file"), "written\n")
        self.assertTrue(whole(self.disk))
        self.containerd.remove(self.name)
        self.assertEqual(self.run_on("cat /kept/file"), "written\n")
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_block_device_likewise(self):
        device = subprocess.run(["losetup", "--show", "-f", self.disk], check=True,
                                capture_output=True, text=True).stdout.strip()
        try:
            said = self.run_on("grep ' / ' /proc/mounts; echo written > /file",
                               rootfs=[("ext4", device, ["noatime"])])
            self.assertRegex(said, r" / ext4 rw\S*,noatime")
        finally:
            subprocess.run(["losetup", "-d", device], check=True)
        self.assertEqual(file_on(self.disk, "/file"), "written\n")

    def test_what_is_to_be_read_only_is(self):
        before = os.stat(self.disk)
        said = self.run_on("grep -c ' / ext4 ro' /proc/mounts; touch /file 2>&1; mount -o remount,rw / 2>&1",
                           rootfs=[("ext4", self.disk, ["ro", "loop"])], code=1)
        self.assertIn("Read-only file system", said)
        self.assertTrue(said.startswith("1\n"), said)
        after = os.stat(self.disk)
        self.assertEqual((before.st_mtime_ns, before.st_blocks), (after.st_mtime_ns, after.st_blocks))

    def test_images_that_cannot_be_written(self):
        image.write_tree(f"{self.disk}.tree")
        for kind, make in (("squashfs", ["mksquashfs", f"{self.disk}.tree", self.disk, "-quiet"]),
                           ("erofs", ["mkfs.erofs", "-zlz4hc", self.disk, f"{self.disk}.tree"])):
            with self.subTest(kind=kind):
                os.unlink(self.disk)
                subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
                said = self.run_on("grep ' / ' /proc/mounts; cat /etc/kata-e2e; touch /file 2>&1",
                                   rootfs=[(kind, self.disk, ["ro", "loop"])], code=1)
                self.assertRegex(said, rf"^/dev/\w+ / {kind} ro.*\nmade for tests\n.*Read-only file system")
                self.containerd.remove(self.name)

    def test_overlays_can_be_mounted_on_it(self):
        said = self.run_on("cd /tmp && mkdir upper work merged && mount -t overlay overlay "
                           "-o lowerdir=/etc,upperdir=upper,workdir=work merged && "
                           "echo new > merged/kata-e2e && cat upper/kata-e2e", "--privileged")
        self.assertEqual(said, "new\n")

    def test_a_full_disk_is_the_containers_own_trouble(self):
        said = self.run_on("dd if=/dev/zero of=/big bs=1M count=64 2>&1 | grep -o 'No space left'; "
                           "rm /big; echo goes on")
        self.assertEqual(said, "No space left\ngoes on\n")
        self.assertTrue(whole(self.disk))

    def test_a_host_without_room_for_the_disk_is_an_error_of_the_write(self):
        full = f"{self.containerd.base}/{self.name}.full"
        os.mkdir(full)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "full", full], check=True)
        try:
            disk = make_disk(f"{full}/disk", 64)
            shutil.rmtree(f"{disk}.tree")
            said = self.run_on("dd if=/dev/zero of=/big bs=1M count=40 conv=fsync 2>&1; echo goes on",
                               rootfs=[("ext4", disk, ["loop"])])
            self.assertRegex(said, "dd: .*(I/O error|No space left on device)(.*\n)*goes on\n")
            self.containerd.remove(self.name)
        finally:
            subprocess.run(["umount", full], check=True)
        self.assert_clean()

    def test_a_root_that_is_to_be_read_only_has_its_mount_points(self):
        said = self.run_on("touch /file 2>&1; touch /made/here/file && echo mounted", "--read-only", "--mount",
                           "type=tmpfs,src=tmpfs,dst=/made/here,options=rw")
        self.assertRegex(said, "Read-only file system\nmounted\n")

    def test_what_the_host_uses_is_refused_and_left_alone(self):
        point = f"{self.containerd.base}/{self.name}.mnt"
        os.mkdir(point)
        # Where no machine that is being prepared inherits the mount.
        with self.background(subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                 'mount -o loop "$1" "$2"; echo mounted; read go; cat "$2/etc/kata-e2e"', "sh",
                 self.disk, point], stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as user:
            self.assertEqual(user.stdout.readline(), b"mounted\n")
            self.assertIn("in use on the host; unmount it first", self.refusal("true"))
            user.stdin.write(b"go\n")
            user.stdin.flush()
            self.assertEqual(user.stdout.read(), b"made for tests\n")
            self.assertEqual(user.wait(20), 0)
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_disk_has_one_machine_at_a_time(self):
        self.create("sleep 1000")
        other = f"{self.name}-other"
        self.assertIn("another virtual machine has it", self.refusal("true", name=other))
        self.containerd.remove(other)
        read_only = [("ext4", self.disk, ["ro", "loop"])]
        self.assertIn("another virtual machine has it",
                      self.refusal("true", name=other, rootfs=read_only))
        self.containerd.remove(other)
        self.containerd.remove(self.name)
        self.create("sleep 1000", rootfs=read_only)
        self.create("sleep 1000", rootfs=read_only, name=other)

    def test_a_disk_without_a_file_system_is_told(self):
        with open(self.disk, "r+b") as file:
            file.write(b"\0" * MIB)
        self.assertRegex(self.refusal("true"), r"storage scsi on .*: mount .*ext4")
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_missing_program_is_named_as_runc_names_it(self):
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type,
                            *(("--runtime-config-path", self.config) if self.config else ()),
                            self.image, self.name, "/no/such", check=True)
        with self.assertRaises(RpcError) as refused:
            grpc.create_task(self.containerd, self.name, timeout=120,
                             rootfs=[("ext4", self.disk, ["loop"])])
            grpc.start_task(self.containerd, self.name)
        self.assertIn('exec: "/no/such": stat /no/such: no such file or directory',
                      str(refused.exception))
        self.assertTrue(whole(self.disk))

    def test_a_killed_machine_leaves_nothing_and_a_disk_that_can_be_used_again(self):
        self.create("while true; do echo more >> /log; done")
        grpc.start_task(self.containerd, self.name)
        kill(self.runtime.victims(self.containerd, self.name)["vmm"])
        self.wait_status(self.name, "STOPPED", 20)
        grpc.delete_task(self.containerd, self.name)
        self.containerd.remove(self.name)
        self.assert_clean()
        self.assertEqual(self.run_on("echo alive"), "alive\n")


@only("kata", "runc has no machines")
class Shared(RootDiskTests, DiskCase):
    """The machine has a shared directory, too: volumes come through it."""

    def test_volumes_are_shared(self):
        volume = f"{self.containerd.base}/{self.name}.volume"
        os.mkdir(volume)
        self.run_on("echo back > /mnt/file", "--mount",
                    f"type=bind,src={volume},dst=/mnt,options=rbind:rw")
        with open(f"{volume}/file") as file:
            self.assertEqual(file.read(), "back\n")

    def test_the_disk_can_be_mounted_on_the_host_instead(self):
        self.config = self.runtime.write_config(f"{self.containerd.base}/{self.name}.toml",
                                                disable_block_device_use=True)
        device = subprocess.run(["losetup", "--show", "-f", self.disk], check=True,
                                capture_output=True, text=True).stdout.strip()
        try:
            self.assertRegex(self.run_on("grep ' / ' /proc/mounts", rootfs=[("ext4", device, [])]),
                             " / virtiofs ")
        finally:
            subprocess.run(["losetup", "-d", device], check=True)
        self.assertIn("disable_block_device_use", self.refusal("true", name=f"{self.name}-loop"))

    def test_containers_of_a_pod_have_disks_of_their_own(self):
        disk, said = self.run_in_pod("echo mine > /file; cat /etc/kata-e2e")
        self.assertEqual(said, "made for tests\n")
        self.assertEqual(file_on(disk, "/file"), "mine\n")
        self.assert_code(self.containerd.exec(self.name, ["ls", "/file"]), 1)


@only("kata", "runc has no machines")
class NotShared(RootDiskTests, DiskCase):
    """shared_fs = "none": no virtiofsd, and copies of the template that share its memory."""

    @classmethod
    def set_up_bed(cls):
        cls.config = cls.runtime.write_config(
            f"{cls.containerd.base}/none.toml", shared_fs="none", virtio_fs_daemon="/nonexistent",
            factory={"enable_template": cls.runtime.start_from != "boot",
                     "template_path": f"{cls.containerd.base}/templates"})

    @core
    def test_copies_map_the_templates_memory_and_need_no_virtiofsd(self):
        if self.runtime.start_from == "boot":
            self.skipTest("machines boot")
        self.create("sleep 1000")
        grpc.start_task(self.containerd, self.name)
        victims = self.runtime.victims(self.containerd, self.name)
        self.assertEqual(sorted(victims), ["shim", "vmm"])
        with open(f"/proc/{victims['vmm']}/maps") as file:
            mapped = [line for line in file if f"{self.containerd.base}/templates/" in line]
        self.assertTrue(mapped, "the template's memory is mapped")
        self.assertEqual({line.split()[1] for line in mapped}, {"rw-p"}, "privately")
        memory = glob.glob(f"{self.containerd.base}/templates/*/memory")
        before = subprocess.check_output(["sha256sum", *memory])
        self.assert_code(self.containerd.exec(self.name, [
            "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 && rm /dev/shm/x && "
            "echo 3 > /proc/sys/vm/drop_caches; sync"]), 0)
        self.assertEqual(subprocess.check_output(["sha256sum", *memory]), before)

    @core
    def test_volumes_are_copied(self):
        base = f"{self.containerd.base}/{self.name}"
        os.makedirs(f"{base}/conf/sub")
        for name, content in (("conf/sub/key", "value\n"), ("resolv", "nameserver 192.0.2.1\n")):
            with open(f"{base}/{name}", "w") as file:
                file.write(content)
        os.chown(f"{base}/conf/sub/key", 1000, 1000)
        os.symlink("sub/key", f"{base}/conf/link")
        said = self.run_on(
            "cat /etc/resolv.conf /conf/link; stat -c '%u %a' /conf/sub/key; echo changed > /conf/sub/key; "
            "cat /conf/sub/key; touch /etc/resolv.conf || echo read-only",
            "--mount", f"type=bind,src={base}/conf,dst=/conf,options=rbind:rw",
            "--mount", f"type=bind,src={base}/resolv,dst=/etc/resolv.conf,options=rbind:ro")
        self.assertEqual(said.splitlines(), ["nameserver 192.0.2.1", "value", "1000 644", "changed",
                                             "read-only"])
        with open(f"{base}/conf/sub/key") as file:
            self.assertEqual(file.read(), "value\n", "nothing comes back")

    def test_containers_of_a_pod_have_the_copy_of_a_volume_in_common(self):
        volume = f"{self.containerd.base}/{self.name}.volume"
        os.mkdir(volume)
        self.run_in_pod("echo hello > /mnt/file", "--mount",
                        f"type=bind,src={volume},dst=/mnt,options=rbind:rw")
        self.assert_output(self.containerd.exec(self.name, ["cat", "/mnt/file"]), "hello\n")
        self.assertEqual(os.listdir(volume), [])

    def test_what_would_have_to_be_shared_is_refused_with_the_remedy(self):
        big = f"{self.containerd.base}/{self.name}.big"
        with open(big, "wb") as file:
            file.truncate(17 * MIB)
        said = self.refusal("true", "--mount", f"type=bind,src={big},dst=/mnt,options=rbind:rw")
        self.assertRegex(said, r'mount "/mnt": .*16 MiB.*shared_fs = .*virtio-fs')
        self.containerd.remove(self.name)
        image.write_tree(f"{self.disk}.tree")
        said = self.refusal("true", rootfs=[("bind", f"{self.disk}.tree", ["rbind"])])
        self.assertRegex(said, 'shared_fs = .*none.* of type bind; use another snapshotter')
        self.assert_clean()


class BlockfileCase(ContainerdCase):
    """containerd's own snapshotter of block files, with images."""

    snapshotter = "blockfile"

    @classmethod
    def setUpClass(cls):
        if not Settings.series.startswith("2."):
            raise unittest.SkipTest("containerd has this snapshotter since 2.0")
        super().setUpClass()


class Blockfile(BlockfileCase):
    @core
    def test_an_image_runs_from_it_as_under_runc(self):
        flags = ("--snapshotter", "blockfile")
        done = self.containerd.run(self.name, self.shell("grep ' / ' /proc/mounts; touch /file; id -un"),
                                   "--rm", *flags, "--user", "app:app", timeout=120)
        self.assert_code(done, 0)
        self.assertRegex(done.out, r"^/dev/\w+ / ext4 rw")
        self.assertTrue(done.out.endswith("app\n"), done)
        self.containerd.run_detached(self.name, ["sleep", "1000"], *flags, timeout=120)
        self.assert_output(self.containerd.exec(self.name, ["cat", "/etc/kata-e2e"]), "made for tests\n")
        self.containerd.remove(self.name)
        self.containerd.ctr("snapshot", "--snapshotter", "blockfile", "rm", self.name)
        self.assert_clean()
