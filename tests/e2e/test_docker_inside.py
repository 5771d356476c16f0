# SPDX-License-Identifier: Apache-2.0
"""Docker inside the sandbox: Debian's dockerd 20.10 in a privileged container, with nothing configured.

Its data directory is a volume; there the sandbox has a disk (docs/docker.md).
"""

import json
import os
import signal
import tarfile
import time
import unittest

from support import chroot
from support.case import Settings, core, only
from support.docker_case import DockerCase
from testbed import debs, image
from testbed.docker import IMAGE, SHIM
from testbed.process import BedError, run, wait_until

DEBIAN = "kata/docker-inside"
PACKAGES = ("docker.io", "iptables", "iproute2", "procps", "ca-certificates", "busybox-static", "e2fsprogs")
SECONDS = 240
DATA = "/var/lib/docker"
DISK = "kata-disk.ext4"
LOG = "/var/log/dockerd.log"
MIB = 2**20

UP = f"""\
rm -f /var/run/docker.pid
dockerd >>{LOG} 2>&1 &
for i in $(seq {SECONDS}); do
  docker version >/dev/null 2>&1 && exit 0
  kill -0 $! 2>/dev/null || break
  sleep 0.5
done
tail -20 {LOG} >&2
exit 1"""

BUILD = r"""
mkdir -p /b
printf 'FROM bb\nRUN echo built >/built; ping -c 1 -w 5 127.0.0.1\n' >/b/Dockerfile
docker build -q -t built /b"""


class InsideCase(DockerCase):
    """Privileged containers of the image `outer`."""

    door = SHIM
    outer = IMAGE

    def inside(self, *lines, check=True):
        """A script in the outer container."""
        return self.docker("exec", self.name, "sh", "-ec", "\n".join(lines), timeout=SECONDS, check=check)

    def start(self, *options, name=None, check=True):
        return self.docker("run", "-d", "--name", name or self.name, "--privileged", *options, self.outer, "sleep",
                           "infinity", check=check)

    def volume(self):
        """A named volume: (name, folder on the host)."""
        name = self.bed.new_name("v")
        self.docker("volume", "create", name, check=True)
        self.addCleanup(self.docker, "volume", "rm", "-f", name)
        folder = self.docker("volume", "inspect", "-f", "{{.Mountpoint}}", name, check=True).out.strip()
        return name, folder

    def on_host(self, *argv):
        done = run(self.bed.entered(*argv), 60)
        self.assert_code(done, 0)
        return done.out


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


class DockerInside(InsideCase):
    outer = DEBIAN

    @classmethod
    def set_up_bed(cls):
        path = f"{cls.bed.base}/inside.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(chroot.base("12", PACKAGES), arcname=".")
        cls.bed.docker("import", path, DEBIAN, check=True)
        os.unlink(path)
        cls.inner = f"{cls.bed.base}/inner.tar"
        tree = image.write_tree(f"{cls.bed.base}/inner")
        with tarfile.open(cls.inner, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(tree, arcname=".")

    def setUp(self):
        super().setUp()
        self.steps = []

    def start(self, *options, **more):
        return super().start("--memory", "512m", "-v", f"{self.inner}:/inner.tar:ro", *options, **more)

    def kill_machine(self):
        with open(f"/run/vc/sbs/{self.inspect('.Id')}/record.json") as file:
            pid = next(each["pid"] for each in json.load(file)["processes"] if each["role"] == "vmm")
        os.kill(self.bed.outer_pid(pid), signal.SIGKILL)
        self.wait_state(".State.Running", False)

    def step(self, what, *lines):
        """The output of a script in the outer container; its seconds go into the report."""
        begun = time.monotonic()
        done = self.inside(*lines)
        self.steps.append(f"{what} {time.monotonic() - begun:.1f}")
        return done.out

    def report(self):
        print(f"     {self.runtime.name}: {', '.join(self.steps)} s", flush=True)

    @core
    def test_a_daemon_loads_runs_and_publishes_on_a_disk_of_its_own(self):
        self.start("-v", DATA)
        self.step("dockerd", UP)
        if self.runtime.is_vm:
            self.assert_output(self.inside("docker info -f '{{.Driver}} {{.CgroupVersion}}'"), "overlay2 2\n")
        self.step("import", "docker import /inner.tar bb")
        self.assertEqual(self.step("run", "docker run --rm bb echo one"), "one\n")
        self.step("publish", "docker run -d -p 8080:80 bb sh -c 'echo web >/index.html; httpd -f -h / -p 80'")
        address = self.inspect(".NetworkSettings.Networks.bridge.IPAddress")
        fetch = self.bed.entered("busybox", "wget", "-q", "-O", "-", f"http://{address}:8080/")
        wait_until(lambda: run(fetch, 20).out == "web\n", 60, lambda: f"the page is served: {run(fetch, 20)}")
        self.report()

    def test_a_daemon_builds(self):
        self.start("-v", DATA)
        self.step("dockerd", UP)
        self.step("import", "docker import /inner.tar bb")
        self.step("build", BUILD)
        self.assertEqual(self.step("run", "docker run --rm built cat /built"), "built\n")
        self.step("again", "docker run --rm built true")
        self.report()

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
        self.inside(UP)
        self.assert_output(self.inside("docker start -a kept"), "file\n")
        self.assert_output(self.inside("docker run --rm bb echo on"), "on\n")
        self.assertEqual(self.on_host("ls", "-A", folder), f"{DISK}\n")

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
        self.inside("update-alternatives --set iptables /usr/sbin/iptables-legacy",
                    "update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy")
        self.inside(UP)
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
