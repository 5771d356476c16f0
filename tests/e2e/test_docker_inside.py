# SPDX-License-Identifier: Apache-2.0
"""Docker inside the sandbox: Debian's dockerd 20.10, 26.1 and 28.5 in privileged containers, with nothing
configured.

Its data directory is a volume; there the sandbox has a disk (docs/docker.md).
"""

import os
import statistics
import time
import unittest

from support.case import Settings, core, only
from support.inside_case import DISK, UP, EngineCase, InsideCase, up
from testbed import debs
from testbed.docker import IMAGE
from testbed.process import BedError, wait_until

PACKAGES = ("docker.io", "iptables", "iproute2", "procps", "ca-certificates", "busybox-static", "e2fsprogs")
# Debian 12 has the client in the daemon's package, and 13 leaves BuildKit to its plugin.
LATER_PACKAGES = (*PACKAGES, "docker-cli", "docker-buildx", "nftables")
DATA = "/var/lib/docker"
MIB = 2**20

# With the daemon's own builder; "1": with BuildKit, which is in the daemon too.
BUILD = r"""
mkdir -p /b
printf 'FROM bb\nRUN echo built >/built; ping -c 1 -w 5 127.0.0.1\n' >/b/Dockerfile
DOCKER_BUILDKIT={} docker build -q -t {} /b"""
LEGACY = ("update-alternatives --set iptables /usr/sbin/iptables-legacy",
          "update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy")


@only("kata", "disks are the machine's")
class Disks(InsideCase):
    """Without a daemon."""

    def used(self, folder):
        """Bytes of the disk on the host."""
        return int(self.on_host("stat", "-c", "%b", f"{folder}/{DISK}")) * 512

    def test_a_disk_grows_with_use_and_gives_back_what_is_deleted(self):
        name, folder = self.volume()
        self.start("-v", f"{name}:{DATA}")
        self.assertLess(self.used(folder), 32 * MIB)
        self.inside(f"dd if=/dev/urandom of={DATA}/big bs=1M count=64; sync")
        full = self.used(folder)
        self.assertGreater(full, 64 * MIB)
        self.inside(f"rm {DATA}/big; sync")
        wait_until(lambda: self.used(folder) < full - 60 * MIB, 60, lambda: f"{self.used(folder)} less than {full}")

    def test_what_was_written_and_not_synced_is_there_after_the_end(self):
        name, _ = self.volume()
        sums = set()
        self.start("-v", f"{name}:{DATA}")
        sums.add(self.inside(f"dd if=/dev/urandom of={DATA}/file bs=1M count=8; md5sum {DATA}/file").out)
        self.docker("rm", "-f", self.name, check=True)
        self.start("-v", f"{name}:{DATA}")
        sums.add(self.inside(f"md5sum {DATA}/file").out)
        self.assertEqual(len(sums), 1, sums)
        self.assertNotIn("recover", self.inside("dmesg").out)

    def test_what_holds_files_is_neither_hidden_nor_rewritten(self):
        name, folder = self.volume()
        self.on_host("sh", "-c", f"echo mine >{folder}/file")
        self.start("-v", f"{name}:{DATA}")
        self.assert_output(self.inside(f"cat {DATA}/file; ls -A {DATA}"), "mine\nfile\n")
        self.docker("rm", "-f", self.name, check=True)
        other, beside = self.volume()
        self.on_host("sh", "-c", f"touch {beside}/{DISK} {beside}/file")
        refused = self.start("-v", f"{other}:{DATA}", check=False)
        self.assertNotEqual(refused.code, 0)
        self.assertIn("files beside it that it would hide", refused.err)
        self.docker("rm", "-f", self.name)
        # Who may not mount gets the files.
        self.docker("run", "--rm", "--name", self.name, "-v", f"{self.volume()[0]}:{DATA}", IMAGE, "touch",
                    f"{DATA}/file", check=True)


@only("kata", "disks are the machine's")
class NoLoopDevices(InsideCase):
    """A guest's kernel that cannot make a disk of a file."""

    @classmethod
    def set_up_bed(cls):
        cls.runtime.write_config(cls.runtime.config, agent={"dial_timeout": 150},
                                 settings={"data_disks": [DATA, "/home"]},
                                 kernel_params="initcall_blacklist=loop_init module_blacklist=loop")

    def test_a_new_volume_is_shared_instead_and_what_is_on_a_disk_is_not_hidden(self):
        name, folder = self.volume()
        self.start("-v", f"{name}:{DATA}")
        self.inside(f"echo mine >{DATA}/file")
        self.assertEqual(self.on_host("ls", "-A", folder), "file\n")
        # Of the image's own, too.
        self.inside("echo mine >/home/file")
        upper = self.inspect(".GraphDriver.Data.UpperDir")
        self.assertEqual(self.on_host("sh", "-c", f"cat {upper}/home/file; ls {upper}/.. | grep disk || echo none"),
                         "mine\nnone\n")
        self.docker("rm", "-f", self.name, check=True)
        self.on_host("mv", f"{folder}/file", f"{folder}/{DISK}")
        refused = self.start("-v", f"{name}:{DATA}", check=False)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(f'mount "{DATA}": what it holds is in the disk "{folder}/{DISK}": start it with a guest kernel',
                      refused.err)


class DisksInRust(Disks):
    """The same through the virtiofsd of Debian 13."""

    @classmethod
    def set_up_bed(cls):
        if Settings.core_only:
            raise unittest.SkipTest("not in the core subset")
        try:
            program = debs.script("fetch-virtiofsd", "trixie")
        except BedError as error:
            raise unittest.SkipTest(f"no such virtiofsd here: {error}") from error
        cls.runtime.write_config(cls.runtime.config, agent={"dial_timeout": 150}, virtio_fs_daemon=program)


class OfEveryVersion:
    """Tests for classes of one version."""

    @only("kata", "disks are the machine's")
    def test_a_named_volume_keeps_its_disk_and_a_power_cut_breaks_nothing(self):
        name, folder = self.volume()
        self.start("-v", f"{name}:{DATA}")
        self.assertEqual(self.on_host("ls", "-A", folder), f"{DISK}\n")
        other = self.bed.new_name()
        refused = self.start("-v", f"{name}:{DATA}", name=other, check=False)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(f'mount "{DATA}": disk "{folder}/{DISK}": another virtual machine has it', refused.err)
        self.docker("rm", "-f", other)
        self.inside(UP)
        self.inside("docker import /inner.tar bb", "docker create --name kept bb cat /file",
                    "echo file >/file", "docker cp /file kept:/file", "sync")
        # Written to while the machine dies.
        self.docker("exec", "-d", self.name, "sh", "-c",
                    "i=0; while :; do i=$((i + 1)); docker run --rm bb sh -c \"echo $i >/f; sync\"; done")
        self.inside("until docker ps -q | grep -q .; do sleep 0.1; done")
        self.kill_machine()
        self.docker("rm", "-f", self.name, check=True)
        self.start("-v", f"{name}:{DATA}")
        self.assertIn("recover", self.inside("dmesg | grep -i ext4").out)
        # With the other kind of packet filter.
        self.inside(*LEGACY, UP)
        self.inside("iptables -t nat -S | grep -q DOCKER")
        self.assert_output(self.inside("docker start -a kept"), "file\n")
        self.assert_output(self.inside("docker run --rm bb echo on"), "on\n")
        self.assertEqual(self.on_host("ls", "-A", folder), f"{DISK}\n")


class DockerInside(OfEveryVersion, EngineCase):
    packages = PACKAGES

    @core
    def test_a_daemon_loads_runs_and_publishes_on_a_disk_of_its_own(self):
        self.start("-v", DATA)
        self.step("dockerd", UP)
        if self.runtime.is_vm:
            self.assert_output(self.inside("docker info -f '{{.Driver}} {{.CgroupVersion}}'"), "overlay2 2\n")
        self.step("import", "docker import /inner.tar bb")
        self.assertEqual(self.step("run", "docker run --rm bb echo one"), "one\n")
        self.step("publish", "docker run -d -p 8080:80 bb sh -c 'echo web >/index.html; httpd -f -h / -p 80'")
        self.assert_published(8080, "web\n")
        self.report()

    def test_a_daemon_builds(self):
        self.start("-v", DATA)
        self.step("dockerd", UP)
        self.step("import", "docker import /inner.tar bb")
        self.step("build", BUILD.format(0, "built"))
        self.assertEqual(self.step("run", "docker run --rm built cat /built"), "built\n")
        self.step("again", "docker run --rm built true")
        self.report()

    @only("kata", "disks are the machine's")
    def test_an_image_with_a_daemon_needs_no_volume_and_keeps_its_disk_as_long_as_its_files(self):
        self.start()
        upper = self.inspect(".GraphDriver.Data.UpperDir")
        disk = f"{os.path.dirname(upper)}/kata-disk{DATA.replace('/', '-')}.ext4"
        self.assertTrue(os.path.exists(disk))
        self.inside(f"echo mine >{DATA}/file; sync")
        self.docker("restart", "-t", "1", self.name, check=True)
        self.assert_output(self.inside(f"cat {DATA}/file"), "mine\n")
        self.assertFalse(os.path.exists(f"{upper}{DATA}/file"))
        self.docker("rm", "-f", self.name, check=True)
        self.assertFalse(os.path.exists(disk))

    @only("kata", "what containers in a container may do is the guest's affair")
    def test_limits_devices_and_both_kinds_of_packet_filters_work_inside(self):
        self.start("-v", DATA)
        for each in ("cpu", "cpuset", "io", "memory", "pids", "hugetlb"):
            self.assertIn(each, self.inside("cat /sys/fs/cgroup/cgroup.controllers").out.split())
        self.assertGreaterEqual(int(self.inside("cat /proc/sys/fs/inotify/max_user_instances").out), 128)
        self.inside(*LEGACY, UP)
        self.inside("iptables -t nat -S | grep -q DOCKER")
        self.inside("docker import /inner.tar bb")
        self.assert_output(self.inside("docker run --rm --memory 32m --pids-limit 50 --cpus 0.5 bb sh -c "
                                       "'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max'"),
                           "33554432\n50\n50000 100000\n")
        self.assert_output(self.inside("docker run --rm --device-cgroup-rule 'c 1:7 rwm' bb sh -c "
                                       "'mknod /tmp/full c 1 7 && echo x >/tmp/full || echo full'"), "full\n")
        hog = self.inside("docker run --rm --memory 16m --memory-swap 16m bb sh -c "
                          "'dd if=/dev/zero of=/dev/null bs=64M count=1'", check=False)
        self.assertEqual(hog.code, 137)


class OfLaterVersions(OfEveryVersion):
    inner_version = ""

    def test_a_daemon_loads_runs_builds_and_publishes(self):
        self.start("-v", DATA)
        self.step("dockerd", UP)
        version = self.inside("docker version -f '{{.Server.Version}}'").out
        self.assertTrue(version.startswith(f"{self.inner_version}."), version)
        if self.runtime.is_vm:
            self.assert_output(self.inside("docker info -f '{{.Driver}} {{.CgroupVersion}}'"), "overlay2 2\n")
        self.step("import", "docker import /inner.tar bb")
        self.assertEqual(self.step("run", "docker run --rm bb echo one"), "one\n")
        self.step("build", BUILD.format(0, "one"))
        self.step("BuildKit", BUILD.format(1, "two"))
        self.assertEqual(self.step("again", "docker run --rm two cat /built"), "built\n")
        self.step("publish", "docker run -d -p 8080:80 one sh -c 'echo web >/index.html; httpd -f -h / -p 80'")
        self.assert_published(8080, "web\n")
        self.report()


class Docker26Inside(OfLaterVersions, EngineCase):
    release, packages, inner_version = "13", LATER_PACKAGES, "26.1"

    @only("kata", "runc is in it, too")
    def test_an_inner_run_is_timed_beside_one_in_runcs_container(self):
        outers = {"kata": self.name, "runc": self.bed.new_name()}
        for runtime, name in outers.items():
            self.start("-v", DATA, name=name, plain=runtime == "runc")
            self.inside(UP, name=name)
            self.inside("docker import /inner.tar bb", "docker run --rm bb true", name=name)
        times = {runtime: [] for runtime in outers}
        for _ in range(3):
            for runtime, name in outers.items():
                begun = time.monotonic()
                self.inside("docker run --rm bb true", name=name)
                times[runtime].append(time.monotonic() - begun)
        kata, runc = (statistics.median(times[runtime]) for runtime in ("kata", "runc"))
        print(f"     docker run --rm inside: {kata:.2f} s, {kata / runc:.1f} times runc's {runc:.2f} s", flush=True)


class Docker28Inside(OfLaterVersions, EngineCase):
    release, packages, inner_version = "forky", LATER_PACKAGES, "28.5"

    @only("kata", "overlays on overlays are refused")
    def test_a_daemon_keeps_images_in_containerds_store_as_29_does(self):
        self.start("-v", DATA)
        self.step("dockerd", up("--feature", "containerd-snapshotter=true"))
        self.assert_output(self.inside("docker info -f '{{.Driver}} {{.DriverStatus}}'"),
                           "overlayfs [[driver-type io.containerd.snapshotter.v1]]\n")
        self.step("import", "docker import /inner.tar bb")
        self.assertEqual(self.step("run", "docker run --rm bb echo one"), "one\n")
        self.step("BuildKit", BUILD.format(1, "two"))
        self.assertEqual(self.step("again", "docker run --rm two cat /built"), "built\n")
        self.report()
