# SPDX-License-Identifier: Apache-2.0
"""Installing, upgrading with containers that run, removing, purging."""

import os
import subprocess
import tempfile

import bed
from support.chroot import differences
from testbed.process import wait_until


class Lifecycle(bed.PackageCase):
    @classmethod
    def setUpClass(cls):
        cls.old = tempfile.TemporaryDirectory(prefix="kt-old-", dir="/var/tmp")
        cls.addClassCleanup(cls.old.cleanup)
        make_earlier(bed.DEBS, cls.old.name)

    def test_apt_finds_all_that_a_bare_system_needs(self):
        for host in self.each_release(bare=True):
            done = host.apt("install", "--simulate", *host.copy(bed.packages_of(bed.DEBS, debug=True)))
            self.assertIn("qemu-system-x86", done.out)

    def test_containers_live_through_an_upgrade_and_purging_leaves_nothing(self):
        for host in self.each_release():
            old, new = bed.packages_of(self.old.name), bed.packages_of(bed.DEBS, debug=True)
            host.satisfy_dependencies(new)
            host.write(bed.SETTINGS)
            before = host.look()

            host.install(old)
            host.run("kata-runtime", "check")
            host.run("kata-bench", "run", "--help")
            containerd = host.start_containerd()
            host.ctr_run("old", "sleep", "1000", detached=True)
            shim = host.shim_of("old")
            kernel = host.ctr("task", "exec", "--exec-id", "a", "old", "uname", "-r").out
            self.assertNotEqual(kernel, os.uname().release + "\n")

            host.install(new)
            self.assertIn("(deleted)", os.readlink(host.path(f"/proc/{shim}/exe")))
            self.assertEqual(host.ctr("task", "exec", "--exec-id", "b", "old", "uname", "-r").out, kernel)
            self.assertEqual(host.ctr_run("new", "echo", "of the new one").out, "of the new one\n")
            host.ctr("task", "kill", "--signal", "KILL", "old")
            wait_until(lambda: "STOPPED" in host.ctr("task", "ls").out, 30, "end of the old container")
            host.ctr("task", "rm", "old")
            host.ctr("container", "rm", "old")
            wait_until(lambda: not host.shim_of("old"), 30, "end of the old shim")

            # A container outlives even the removal, and can be ended.
            host.ctr_run("last", "sleep", "1000", detached=True)
            removed = host.apt("remove", "kata-cpp")
            self.assertIn("1 virtual machine(s) with containers run on", removed.err + removed.out)
            self.assertEqual(host.ctr("task", "exec", "--exec-id", "c", "last", "echo", "alive").out, "alive\n")
            host.ctr("task", "rm", "--force", "last")
            host.ctr("container", "rm", "last")
            wait_until(lambda: not host.shim_of("last"), 30, "end of the last shim")
            host.end_daemon(containerd)

            host.apt("purge", "kata-cpp*")
            self.assertEqual(differences(before, host.look()), [])

    def test_the_tar_installs_upgrades_and_is_removed_without_a_trace(self):
        for host in self.each_release():
            host.satisfy_dependencies(bed.packages_of(bed.DEBS))
            host.write(bed.SETTINGS)
            before = host.look()
            tar, = (name for name in os.listdir(bed.DEBS) if name.endswith(".tar.xz"))
            with open(f"{bed.DEBS}/{tar}", "rb") as file:
                host.run("tar", "-C", "/tmp", "-xJf", "-", stdin=file.read())
            folder = f"/tmp/{tar.removesuffix('.tar.xz')}"
            host.run(f"{folder}/install")
            containerd = host.start_containerd()
            host.ctr_run("old", "sleep", "1000", detached=True)
            host.run("sh", "-c", f"rm {folder}/tree/share/doc/kata-cpp/NOTICE; echo more >{folder}/tree/share/doc/kata-cpp/MORE")
            host.run(f"{folder}/install")
            self.assertFalse(os.path.exists(host.path("/usr/local/share/doc/kata-cpp/NOTICE")))
            self.assertTrue(os.path.exists(host.path("/usr/local/share/doc/kata-cpp/MORE")))
            self.assertEqual(host.ctr("task", "exec", "--exec-id", "a", "old", "echo", "alive").out, "alive\n")
            self.assertEqual(host.ctr_run("new", "echo", "new").out, "new\n")
            host.ctr("task", "rm", "--force", "old")
            host.ctr("container", "rm", "old")
            wait_until(lambda: not host.shim_of("old"), 30, "end of the shim")
            host.end_daemon(containerd)
            host.run(f"{folder}/install", "--purge")
            self.assertEqual(differences(before, host.look()), [])


def make_earlier(folder, output):
    """The same packages with an earlier version, as one that was installed before."""
    for path in bed.packages_of(folder):
        with tempfile.TemporaryDirectory(prefix="kt-deb-", dir="/var/tmp") as work:
            os.chmod(work, 0o755)
            subprocess.run(["dpkg-deb", "-R", path, work], check=True)
            with open(f"{work}/DEBIAN/control") as file:
                control = file.read()
            version = next(line.split()[1] for line in control.splitlines() if line.startswith("Version:"))
            with open(f"{work}/DEBIAN/control", "w") as file:
                file.write(control.replace(version, "0.0.1"))
            subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", work, output], check=True,
                           stdout=subprocess.DEVNULL)
