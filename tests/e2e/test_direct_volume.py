# SPDX-License-Identifier: Apache-2.0
"""Volumes that a storage driver has declared to be disks: kata-runtime direct-volume."""

import glob
import json
import os
import subprocess

from support.case import ContainerdCase, only
from testbed.process import wait_until

SANDBOX, MEMBER = (f"io.kubernetes.cri.container-type={kind}" for kind in ("sandbox", "container"))
MIB = 1 << 20
BYTES, INODES = 1, 2


@only("kata", "runc has no machine to give disks to")
class DirectVolume(ContainerdCase):
    def setUp(self):
        super().setUp()
        self.volume = f"{self.containerd.base}/{self.name}-v"
        self.disk = f"{self.volume}.img"
        os.mkdir(self.volume)
        with open(self.disk, "wb") as file:
            file.truncate(32 * MIB)
        subprocess.run(["/sbin/mkfs.ext4", "-q", self.disk], check=True)

    @classmethod
    def tearDownClass(cls):
        os.rmdir("/run/kata-containers/shared/direct-volumes")

    def direct(self, verb, *words, check=True):
        return subprocess.run([f"{self.runtime.bin_dir}/kata-runtime", "direct-volume", verb,
                               "--volume-path", self.volume, *words], check=check,
                              capture_output=True, text=True)

    def add(self, **more):
        info = {"volume-type": "block", "device": self.disk, "fstype": "ext4", "options": [], **more}
        self.direct("add", "--mount-info", json.dumps(info))
        self.addCleanup(self.direct, "remove")

    def start(self, name, kind=SANDBOX, options="rbind:rw", *flags):
        self.containerd.run_detached(name, ["sleep", "1000"], *flags, "--annotation", kind, "--annotation",
                                     f"io.kubernetes.cri.sandbox-id={self.name}", "--mount",
                                     f"type=bind,src={self.volume},dst=/v,options={options}", timeout=90)
        return name

    def sh(self, name, script):
        done = self.containerd.exec(name, ["sh", "-c", script])
        self.assert_code(done, 0)
        return done.out

    def test_it_is_a_disk_in_the_guest_once_for_all_containers(self):
        self.add(options=["noatime"], metadata={"fsGroup": "1234"})
        pod = self.start(self.name)
        self.assertRegex(self.sh(pod, "grep ' /v ' /proc/mounts"), r"^/dev/\w+ /v ext4 rw.*noatime")
        self.assertEqual(self.sh(pod, "stat -c %g /v"), "1234\n")
        member = self.start(f"{self.name}-m", MEMBER, options="rbind:ro")
        self.sh(pod, "echo kept > /v/file; sync")
        self.assertEqual(self.sh(member, "cat /v/file"), "kept\n")
        self.assertIn("Read-only", self.containerd.exec(member, ["touch", "/v/x"]).err)
        self.assertEqual(os.listdir(self.volume), [])
        self.assertTrue(self.containerd.remove(member))
        self.assertEqual(self.sh(pod, "cat /v/file"), "kept\n")
        self.assertTrue(self.containerd.remove(pod))
        self.assertEqual(subprocess.run(["/sbin/debugfs", "-R", "cat /file", self.disk], check=True,
                                        capture_output=True, text=True).stdout, "kept\n")
        self.assertEqual(subprocess.run(["/sbin/e2fsck", "-fn", self.disk]).returncode, 0)

    def test_stats_are_those_of_the_file_system(self):
        self.add()
        refused = self.direct("stats", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no sandbox has it", refused.stderr)
        pod = self.start(self.name)
        self.sh(pod, "dd if=/dev/zero of=/v/file bs=1M count=8; sync")
        usage = {each["unit"]: each for each in json.loads(self.direct("stats").stdout)["usage"]}
        self.assertGreater(usage[BYTES]["used"], 8 * MIB)
        self.assertGreater(usage[BYTES]["total"], 16 * MIB)
        self.assertGreater(usage[INODES]["available"], 100)
        self.assertTrue(self.containerd.remove(pod))
        self.assertIn("no sandbox has it", self.direct("stats", check=False).stderr)

    def resize(self, size):
        return self.direct("resize", "--size", str(size), check=False)

    def total(self, name):
        return int(self.sh(name, "stat -f -c '%b %S' /v | awk '{ print $1 * $2 }'"))

    def test_it_grows_while_it_is_in_use(self):
        self.add()
        self.assertIn("no sandbox has it", self.resize(64 * MIB).stderr)
        pod = self.start(self.name)
        self.sh(pod, "echo kept > /v/file; (while echo line; do sleep 0.1; done) > /v/log &")
        for size in (64 * MIB, 64 * MIB, 200 * MIB + 4096):
            done = self.resize(size)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(os.path.getsize(self.disk), size)
            self.assertGreater(self.total(pod), size * 0.8)
        self.sh(pod, "dd if=/dev/zero of=/v/large bs=1M count=100; kill %1; sync")
        cut = self.resize(100 * MIB)
        self.assertNotEqual(cut.returncode, 0)
        self.assertIn("only grows", cut.stderr)
        self.assertEqual(os.path.getsize(self.disk), 200 * MIB + 4096)
        self.assertTrue(self.containerd.remove(pod))
        self.assertEqual(subprocess.run(["/sbin/e2fsck", "-fn", self.disk]).returncode, 0)

    def test_it_grows_on_the_bus_of_block_devices(self):
        config = self.runtime.write_config(f"{self.containerd.base}/blk.toml", block_device_driver="virtio-blk")
        self.add()
        pod = self.start(self.name, SANDBOX, "rbind:rw", "--runtime-config-path", config)
        self.assertEqual(self.resize(64 * MIB).stderr, "")
        self.assertGreater(self.total(pod), 50 * MIB)

    def test_a_block_device_is_as_large_as_its_driver_has_made_it(self):
        device = subprocess.run(["losetup", "--find", "--show", self.disk], check=True, capture_output=True,
                                text=True).stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        self.add(device=device)
        pod = self.start(self.name)
        self.assertIn("direct volume", self.resize(64 * MIB).stderr)
        os.truncate(self.disk, 64 * MIB)
        subprocess.run(["losetup", "--set-capacity", device], check=True)
        self.assertEqual(self.resize(64 * MIB).stderr, "")
        self.assertGreater(self.total(pod), 50 * MIB)
        self.assertTrue(self.containerd.remove(pod))

    def test_what_cannot_grow_stays_as_it_is_and_says_why(self):
        self.add(options=["ro"])
        self.start(self.name)
        self.assertIn("read-only", self.resize(64 * MIB).stderr)
        self.assertEqual(os.path.getsize(self.disk), 32 * MIB)

    def test_the_last_container_gives_the_disk_back_while_the_machine_lives(self):
        self.containerd.run_detached(self.name, ["sleep", "1000"], "--annotation", SANDBOX,
                                     "--annotation", f"io.kubernetes.cri.sandbox-id={self.name}", timeout=90)
        self.add()
        member = self.start(f"{self.name}-m", MEMBER)
        self.sh(member, "echo kept > /v/file")

        def open_in():
            return [path for path in glob.glob("/proc/[0-9]*/fd/*")
                    if os.path.realpath(path) == os.path.realpath(self.disk)]
        self.assertTrue(open_in())
        self.assertTrue(self.containerd.remove(member))
        wait_until(lambda: not open_in(), 20, lambda: f"{open_in()} closed")
        again = self.start(f"{self.name}-n", MEMBER)
        self.assertEqual(self.sh(again, "cat /v/file"), "kept\n")

    def test_mistakes_are_told(self):
        for words, reason in ((["--mount-info", "{"], "not a JSON object"),
                              (["--mount-info", '{"volume-type":"nfs"}'], "alone is known")):
            done = self.direct("add", *words, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr)
        self.assertIn("not a number of bytes", self.direct("resize", "--size", "1G", check=False).stderr)
        self.add(device="/dev/nowhere")
        with self.assertRaisesRegex(AssertionError, "direct volume.*nowhere.*No such file"):
            self.start(self.name)
