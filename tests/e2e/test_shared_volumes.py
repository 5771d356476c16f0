# SPDX-License-Identifier: Apache-2.0
"""Containers of one sandbox that mount the same directory of the host: locks, fifos and sockets meet."""

import contextlib
import glob
import os
import subprocess

from support.case import ContainerdCase, core, only
from testbed.process import wait_until

SANDBOX, MEMBER = (f"io.kubernetes.cri.container-type={kind}" for kind in ("sandbox", "container"))
SECONDS = 20
ALL_MEET = "flock EAGAIN\nposix EAGAIN\nofd EAGAIN\nfifo met\nmap met\nsocket met\n"


@only("kata", "containers of others have one kernel, where all meet")
class SharedVolumes(ContainerdCase):
    @classmethod
    def set_up_bed(cls):
        cls.meet = cls.compiled("meet")

    def setUp(self):
        super().setUp()
        self.folder = f"{self.containerd.base}/{self.name}-shared"
        os.mkdir(self.folder)

    def start(self, name, kind, *mounts):
        flags = []
        for source, target, options in (*mounts, (self.meet, "/meet", "rbind:ro")):
            flags += ["--mount", f"type=bind,src={source},dst={target},options={options}"]
        self.containerd.run_detached(name, ["sleep", "1000"], "--annotation", kind, "--annotation",
                                     f"io.kubernetes.cri.sandbox-id={self.name}", *flags, timeout=90)
        return name

    def hold(self, name):
        """A process in the container that holds what there is to hold, from now on."""
        holder = self.containerd.popen(*self.containerd.exec_arguments(name, ["/meet", "hold", "/v"]),
                                       stderr=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        line = holder.stdout.readline()
        self.assertEqual(line, b"ready\n", "" if line else holder.stderr.read())

    def assert_meets(self, name, folder="/v"):
        self.assert_output(self.containerd.exec(name, ["/meet", "try", folder]), ALL_MEET)

    @core
    def test_members_meet_in_a_directory(self):
        pod = self.start(self.name, SANDBOX, (self.folder, "/v", "rbind:rw"))
        member = self.start(f"{self.name}-m", MEMBER, (self.folder, "/v", "rbind:rw"),
                            (self.folder, "/again", "rbind:rw"))
        self.hold(pod)
        self.assert_meets(member)
        self.assert_meets(member, "/again")
        self.assertTrue(self.containerd.remove(member))
        self.assert_output(self.containerd.exec(pod, ["sh", "-c", "echo on > /v/f; cat /v/f"]), "on\n")

    def test_a_member_that_may_only_read_meets_one_that_may_write_whoever_comes_first(self):
        pod = self.start(self.name, SANDBOX, (self.folder, "/v", "rbind:ro"))
        self.assertNotEqual(self.containerd.exec(pod, ["touch", "/v/mine"]).code, 0)
        writer = self.start(f"{self.name}-w", MEMBER, (self.folder, "/v", "rbind:rw"))
        self.hold(writer)
        self.assert_meets(pod)
        done = self.containerd.exec(pod, ["touch", "/v/mine"])
        self.assertIn("Read-only file system", done.err)
        self.assertFalse(os.path.exists(f"{self.folder}/mine"))
        later = self.start(f"{self.name}-r", MEMBER, (self.folder, "/v", "rbind:ro"))
        self.assert_meets(later)
        self.assertIn("Read-only file system", self.containerd.exec(later, ["touch", "/v/mine"]).err)

    def holders(self, device):
        """The processes with an open file of this file system."""
        found = set()
        for path in glob.glob("/proc/[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if os.stat(path).st_dev == device:
                    found.add(int(path.split("/")[2]))
        return found

    def test_a_volume_that_nobody_has_any_more_is_the_hosts_again(self):
        pod = self.start(self.name, SANDBOX)
        subprocess.run(["mount", "-t", "tmpfs", "volume", self.folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder], stderr=subprocess.DEVNULL)
        device = os.stat(self.folder).st_dev
        member = self.start(f"{self.name}-m", MEMBER, (self.folder, "/v", "rbind:rw"))
        self.assert_output(self.containerd.exec(member, ["sh", "-c", "echo on > /v/f; cat /v/f"]), "on\n")
        self.assertTrue(self.holders(device))
        self.assertTrue(self.containerd.remove(member))
        wait_until(lambda: not self.holders(device), SECONDS, lambda: f"{self.holders(device)} let go")
        subprocess.run(["umount", self.folder], check=True)
        self.assert_output(self.containerd.exec(pod, ["echo", "on"]), "on\n")

    def tmpfs(self, path):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "volume", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", path], stderr=subprocess.DEVNULL)

    def test_members_meet_in_a_memory_volume(self):
        self.tmpfs(self.folder)
        pod = self.start(self.name, SANDBOX, (self.folder, "/v", "rbind:rprivate:rw"))
        member = self.start(f"{self.name}-m", MEMBER, (self.folder, "/v", "rbind:rprivate:rw"))
        self.hold(pod)
        self.assert_meets(member)

    def test_a_sub_path_made_late_is_seen_as_a_directory_and_as_a_file(self):
        """As Kubernetes does: the place is made when a member starts, and bound to one of its own."""
        pod = self.start(self.name, SANDBOX, (self.folder, "/v", "rbind:rprivate:rw"))
        self.assert_output(self.containerd.exec(pod, ["sh", "-c", "echo early > /v/file"]), "")
        os.mkdir(f"{self.folder}/sub")
        places = []
        for name in ("sub", "file"):
            place = f"{self.folder}-{name}"
            if name == "sub":
                os.mkdir(place)
            else:
                open(place, "w").close()
            subprocess.run(["mount", "--bind", f"{self.folder}/{name}", place], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", place], stderr=subprocess.DEVNULL)
            places.append(place)
        member, other = (self.start(f"{self.name}-{word}", MEMBER, (places[0], "/s", "rbind:rprivate:rw"),
                                    (places[1], "/f", "rbind:rprivate:rw")) for word in ("m", "o"))
        self.assert_output(self.containerd.exec(member, ["sh", "-c", "cat /f; echo late > /s/x"]), "early\n")
        self.assert_output(self.containerd.exec(pod, ["cat", "/v/sub/x"]), "late\n")
        self.assert_output(self.containerd.exec(pod, ["sh", "-c", "echo changed > /v/file"]), "")
        wait_until(lambda: self.containerd.exec(member, ["cat", "/f"]).out == "changed\n", SECONDS,
                   "the file's change")
        holder = self.containerd.popen(*self.containerd.exec_arguments(member, ["/meet", "hold", "/s"]))
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), b"ready\n")
        self.assert_meets(other, "/s")

    def served(self):
        """The volumes that virtiofsd has: {mount point: options}."""
        for path in glob.glob("/proc/[0-9]*/mountinfo"):
            with contextlib.suppress(OSError), open(path) as file:
                mounts = [line.split() for line in file]
                # Its root is the shared directory: nobody else sees volumes' folder at the top.
                if any(mount[4].startswith("/.volumes/") for mount in mounts):
                    return {mount[4]: mount[5] for mount in mounts if mount[4].startswith("/.volumes/")}
        self.fail("there is no virtiofsd")

    def test_the_host_keeps_its_mounts_below_a_volume_and_the_guest_none_of_them(self):
        self.tmpfs(self.folder)
        subprocess.run(["mount", "--make-shared", self.folder], check=True)
        self.tmpfs(f"{self.folder}/sub")
        self.start(self.name, SANDBOX)
        alone = set(self.served())
        for options in ("rbind:rw", "rbind:rprivate:rw", "rbind:rslave:rw"):
            with self.subTest(options=options):
                member = self.start(self.containerd.new_id(), MEMBER, (self.folder, "/v", options))
                self.assertNotEqual(set(self.served()), alone)
                self.assertTrue(self.containerd.remove(member))
                self.assertTrue(os.path.ismount(f"{self.folder}/sub"))
                self.assertEqual(set(self.served()), alone)

    def test_a_volume_is_read_only_again_when_nobody_may_write_to_it_any_more(self):
        self.start(self.name, SANDBOX, (self.folder, "/v", "rbind:ro"))
        before = self.served()
        member = self.start(f"{self.name}-m", MEMBER, (self.folder, "/v", "rbind:rw"))
        self.assertNotEqual(self.served(), before)
        self.assertTrue(self.containerd.remove(member))
        self.assertEqual(self.served(), before)
