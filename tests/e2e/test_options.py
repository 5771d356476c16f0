# SPDX-License-Identifier: Apache-2.0
"""What ctr run can ask for: mounts, environment, user, limits, privileges, devices, names."""

import json
import os
import unittest

from support.case import ContainerdCase, Settings, core


def since_1_7(test):
    """ctr of 1.6 has no such option; 1.7 and later run the test."""
    def wrapper(self):
        if Settings.series == "1.6":
            raise unittest.SkipTest("ctr 1.6 has no such option")
        return test(self)
    wrapper.__name__, wrapper.core = test.__name__, True
    return wrapper


class Mounts(ContainerdCase):
    def setUp(self):
        super().setUp()
        self.folder = f"{self.containerd.base}/share-{self.name}"
        os.makedirs(self.folder)
        with open(f"{self.folder}/from-host", "w") as file:
            file.write("host\n")

    @core
    def test_a_bind_mount_is_shared_both_ways(self):
        done = self.containerd.run(self.name, self.shell(
            "cat /share/from-host; echo guest > /share/from-guest; mkdir /share/made"), "--rm",
            "--mount", f"type=bind,src={self.folder},dst=/share,options=rbind:rw")
        self.assert_output(done, "host\n")
        with open(f"{self.folder}/from-guest") as file:
            self.assertEqual(file.read(), "guest\n")
        self.assertTrue(os.path.isdir(f"{self.folder}/made"))
        self.assert_clean()

    def test_a_read_only_bind_mount_refuses_writes(self):
        done = self.containerd.run(self.name, self.shell(
            "cat /share/from-host; echo no > /share/new; echo no > /share/from-host; "
            "rm /share/from-host; true"), "--rm",
            "--mount", f"type=bind,src={self.folder},dst=/share,options=rbind:ro")
        self.assert_output(done, "host\n")
        self.assertIn("Read-only file system", done.err)
        self.assertEqual(os.listdir(self.folder), ["from-host"])
        with open(f"{self.folder}/from-host") as file:
            self.assertEqual(file.read(), "host\n")

    def test_a_read_only_bind_mount_stays_so_for_a_privileged_container(self):
        done = self.containerd.run(self.name, self.shell(
            "mount -o remount,rw /share 2>/dev/null; echo no > /share/new; true"), "--rm",
            "--privileged",
            "--mount", f"type=bind,src={self.folder},dst=/share,options=rbind:ro")
        self.assert_code(done, 0)
        if self.runtime.is_vm:  # with runc, a privileged container may remount: it is the host
            self.assertEqual(os.listdir(self.folder), ["from-host"])

    def test_a_single_file_can_be_mounted(self):
        done = self.containerd.run(self.name, self.shell("cat /etc/one-file; echo more >> /etc/one-file"),
                                   "--rm", "--mount",
                                   f"type=bind,src={self.folder}/from-host,dst=/etc/one-file,"
                                   "options=bind:rw")
        self.assert_output(done, "host\n")
        with open(f"{self.folder}/from-host") as file:
            self.assertEqual(file.read(), "host\nmore\n")

    def test_a_tmpfs_is_empty_of_its_size_and_gone_afterwards(self):
        done = self.containerd.run(self.name, self.shell(
            "ls /scratch | wc -l; grep ' /scratch ' /proc/mounts | cut -d' ' -f3",
            "dd if=/dev/zero of=/scratch/big bs=64k count=50; stat -c %s /scratch/big"), "--rm",
            "--mount", "type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:nosuid")
        self.assert_code(done, 0)
        entries, kind, size = done.out.split()
        self.assertEqual((entries, kind), ("0", "tmpfs"))
        self.assertLessEqual(int(size), 1 << 20)
        self.assertIn("No space left on device", done.err)

    def test_a_missing_mount_source_is_named(self):
        done = self.containerd.run(self.name, ["true"], "--rm", "--mount",
                                   "type=bind,src=/no/such/folder,dst=/share,options=rbind:ro",
                                   timeout=20)
        self.assertNotEqual(done.code, 0)
        self.assertIn("/no/such/folder", done.err)
        self.assertIn("no such file or directory", done.err.lower())


class ProcessOptions(ContainerdCase):
    @core
    def test_environment_and_directory(self):
        done = self.containerd.run(self.name, self.shell("echo \"$WORD\"; echo \"$EMPTY-\"; pwd"),
                                   "--rm", "--env", "WORD=a b=c", "--env", "EMPTY=",
                                   "--cwd", "/var/new")
        self.assert_output(done, "a b=c\n-\n/var/new\n")

    @since_1_7
    def test_a_user_by_number(self):
        done = self.containerd.run(self.name, self.shell("id -u; id -g"), "--rm",
                                   "--user", "1000:1500")
        self.assert_output(done, "1000\n1500\n")

    @since_1_7
    def test_a_user_by_name_comes_with_its_groups(self):
        done = self.containerd.run(self.name, self.shell("id -u; id -g"), "--rm", "--user", "app")
        self.assert_output(done, "1000\n1000\n")

    @since_1_7
    def test_a_hostname_is_the_containers_own(self):
        before = os.uname().nodename
        done = self.containerd.run(self.name, ["hostname"], "--rm", "--hostname", "inside")
        self.assert_output(done, "inside\n")
        self.assertEqual(os.uname().nodename, before)

    def test_a_read_only_root_refuses_writes(self):
        done = self.containerd.run(self.name, self.shell("echo x > /file && echo written; true"),
                                   "--rm", "--read-only")
        self.assert_output(done, "")
        self.assertIn("Read-only file system", done.err)

    def test_an_ordinary_container_has_few_capabilities_and_a_privileged_one_all(self):
        show = self.shell("grep CapEff /proc/self/status")
        few = int(self.containerd.run(self.name, show, "--rm").out.split()[1], 16)
        self.assertEqual(few, 0xa80425fb)
        every = int(self.containerd.run(self.name + "-p", show, "--rm", "--privileged").out.split()[1],
                    16)
        self.assertNotEqual(every & (1 << 21), 0, "CAP_SYS_ADMIN")
        self.assertEqual(every & few, few)

    def test_an_ordinary_container_sees_no_foreign_processes_and_masked_files(self):
        done = self.containerd.run(self.name, self.shell(
            "ls /proc | grep -c '^[0-9]*$'; cat /proc/kcore | wc -c; "
            "touch /proc/sys/kernel/hostname 2>/dev/null && echo x > /proc/sys/kernel/hostname; "
            "hostname > /dev/null; echo end"), "--rm")
        self.assert_code(done, 0)
        count, core_size, end = done.out.split()
        self.assertLessEqual(int(count), 5)
        self.assertEqual((core_size, end), ("0", "end"))

    def test_a_device_is_there_and_works(self):
        done = self.containerd.run(self.name, self.shell(
            "test -c /dev/full && echo there; echo x > /dev/full"), "--rm", "--device", "/dev/full")
        self.assertEqual(done.out, "there\n", done)
        self.assertIn("No space left on device", done.err)

    def test_a_device_that_was_not_asked_for_is_refused(self):
        done = self.containerd.run(self.name, self.shell(
            "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem; true"), "--rm")
        self.assertIn("Operation not permitted", done.err, done)

    @core
    def test_labels_are_kept(self):
        self.containerd.run_detached(self.name, ["sleep", "1000"], "--label", "colour=blue")
        info = json.loads(self.containerd.ctr("container", "info", self.name, check=True).out)
        self.assertEqual(info["Labels"]["colour"], "blue")
        self.assertEqual(info["Runtime"]["Name"], self.runtime.type)

    def test_rlimits_and_umask_of_the_image_are_runcs(self):
        done = self.containerd.run(self.name, self.shell("umask; ulimit -n"), "--rm")
        self.assert_output(done, "0022\n1024\n")


class Limits(ContainerdCase):
    @core
    def test_a_memory_limit_kills_what_exceeds_it_and_says_so(self):
        with self.containerd.events() as events:
            done = self.containerd.run(self.name, self.shell(
                "dd if=/dev/zero of=/dev/null bs=150M count=1 2>/dev/null; echo $?"),
                "--memory-limit", str(64 << 20))
            self.assertEqual(done.out, "137\n", done)
            events.wait_for(self.name, "/tasks/oom")

    def test_a_memory_limit_above_the_default_size_can_be_used(self):
        done = self.containerd.run(self.name, self.shell(
            "dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null && echo fits"), "--rm",
            "--memory-limit", str(768 << 20))
        self.assert_output(done, "fits\n")

    def test_half_a_cpu_gets_about_half_the_time(self):
        done = self.containerd.run(self.name, self.shell(
            # Ticks of this shell (user and system) while three seconds of wall clock pass.
            "end=$(( $(cut -d. -f1 /proc/uptime) + 4 )); set -- $(cat /proc/self/stat)",
            "while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do "
            "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; done",
            "cat /proc/$$/stat"), "--rm", "--cpus", "0.5")
        self.assert_code(done, 0)
        fields = done.out.rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        self.assertLess(ticks, 3.5 * os.sysconf("SC_CLK_TCK") * 0.75, done.out)

    def test_two_cpus_are_there_when_asked_for(self):
        done = self.containerd.run(self.name, ["nproc"], "--rm", "--cpus", "2")
        self.assert_code(done, 0)
        self.assertGreaterEqual(int(done.out), min(2, os.cpu_count()))
