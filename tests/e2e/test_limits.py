# SPDX-License-Identifier: Apache-2.0
"""Limits hold: shown by what programs inside can do, and by the container's own cgroup in the guest.

Times are the guest's and processor time is what its kernel accounts, so that a busy host does not
change the verdict.
"""

import os
import re
import time

from support.case import ContainerdCase, core, only
from support.docker_case import DockerCase
from support.spec import SpecRunner, capabilities
from testbed.docker import COMMAND_LINE, SHIM
from testbed.host import loop_disk
from testbed.process import wait_until

ONE_GUEST = "the files of the container's cgroup are those of version 2, which a host may not have"

# $1 loops for five seconds: what they used of one processor, in percent. The loops touch no file, which
# would have them wait for the host.
BUSY = r"""
value() { sed -n "s/^$1 //p" /sys/fs/cgroup/cpu.stat; }
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
workers=
for worker in $(seq $1); do (while :; do :; done) & workers="$workers $!"; done
u=$(value usage_usec); t=$(now); sleep 5; u2=$(value usage_usec); t2=$(now)
kill $workers; wait
echo share $(( (u2 - u) / 100 / (t2 - t) )) throttled $(value nr_throttled)
"""


def share(text):
    """(percent of one processor, how often throttled) as BUSY prints them."""
    found = re.search(r"share (\d+) throttled (\d*)", text)
    return int(found[1]), int(found[2] or 0)


class Limits:
    """Through Docker, which has words for most limits and changes them live."""

    def in_container(self, *lines, **options):
        return self.docker("exec", self.name, "sh", "-c", "\n".join(lines), **options)

    def control(self, file):
        return self.in_container(f"cat /sys/fs/cgroup/{file}", check=True).out.strip()

    def allocate(self, mib):
        """Exit code of a program that uses so much memory."""
        return self.docker("exec", self.name, "dd", "if=/dev/zero", "of=/dev/null",
                           f"bs={mib}M", "count=1").code

    def sleeper(self, *options):
        self.run_detached("--network", "none", *options, *self.shell("echo ready; exec sleep 100000"))
        self.wait_logs("ready")

    def busy(self, workers=1):
        done = self.docker("exec", "-i", self.name, "sh", "-s", workers, stdin=BUSY.encode(),
                           check=True)
        return share(done.out)

    @core
    def test_a_program_that_exceeds_the_memory_limit_ends_and_docker_says_why(self):
        since = str(time.time())
        done = self.docker(*self.run_arguments("--network", "none", "--memory", "32m", "--", "dd",
                                               "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"))
        self.assert_code(done, 137)
        self.check_oom(since)

    def check_oom(self, since):
        self.assertTrue(self.inspect(".State.OOMKilled"), self.inspect(".State"))
        self.assertIn("oom", self.events(since))

    def events(self, since):
        done = self.docker("events", "--since", since, "--until", str(time.time() + 1), "--filter",
                           f"container={self.name}", "--format", "{{.Action}}", check=True)
        return done.out.split()

    @core
    @only("kata", ONE_GUEST)
    def test_an_exec_that_exceeds_the_memory_limit_dies_alone(self):
        since = str(time.time())
        self.sleeper("--memory", "48m")
        self.assertEqual(self.allocate(150), 137)
        self.assertEqual(self.inspect(".State.Status"), "running")
        self.assertRegex(self.control("memory.events"), r"oom_kill [1-9]")
        self.check_exec_oom(since)

    def check_exec_oom(self, since):
        wait_until(lambda: "oom" in self.events(since), 30, "Docker's event")

    @only("kata", ONE_GUEST)
    def test_a_memory_limit_changes_live(self):
        self.sleeper("--memory", "32m", "--memory-swap", "32m")
        self.assertEqual(self.allocate(64), 137)
        self.docker("update", "--memory", "400m", "--memory-swap", "400m", self.name, check=True)
        self.assertEqual(self.control("memory.max"), str(400 << 20))
        self.assertEqual(self.allocate(300), 0)
        self.docker("update", "--memory", "32m", "--memory-swap", "32m", self.name, check=True)
        self.assertEqual(self.control("memory.max"), str(32 << 20))
        self.assertEqual(self.allocate(64), 137)

    @core
    def test_a_limit_of_processes_holds_a_fork_bomb(self):
        done = self.run_in("--network", "none", "--pids-limit", "25", *self.shell(
            "cd /sys/fs/cgroup; test -e pids.max || cd pids",
            "(bomb() { bomb | bomb & bomb; }; bomb) > /dev/null 2>&1 &", "highest=0 seen=0",
            "while test $seen -lt 300; do read now < pids.current; seen=$((seen+1))",
            "test $now -gt $highest && highest=$now; done",
            "while read word count; do echo $word $count; done < pids.events; echo highest $highest",
            "kill -9 -1"), timeout=300)
        events = dict(line.split() for line in done.out.splitlines())
        self.assertGreater(int(events["max"]), 0, "the limit was reached")
        self.assertLessEqual(int(events["highest"]), 25)

    @only("kata", ONE_GUEST)
    def test_a_limit_of_processes_changes_live(self):
        self.sleeper("--pids-limit", "50")
        started = "i=0; while test $i -lt 20; do sleep 30 & i=$((i+1)); done; echo started $i"
        self.assertIn("started 20", self.in_container(started, "killall sleep; wait").out)
        wait_until(lambda: int(self.control("pids.current")) < 4, 30, "end of those")
        self.docker("update", "--pids-limit", "10", self.name, check=True)
        self.assertEqual(self.control("pids.max"), "10")
        done = self.in_container(started)
        self.assertNotIn("started 20", done.out)
        self.assertIn("fork", done.err)

    @only("kata", ONE_GUEST)
    def test_a_quota_shows_in_processor_time_and_changes_live(self):
        self.sleeper("--cpus", "0.2")
        percent, throttled = self.busy()
        self.assertGreater(throttled, 5)
        self.assertLess(percent, 30)
        self.docker("update", "--cpus", "0.6", self.name, check=True)
        self.assertEqual(self.control("cpu.max"), "60000 100000")
        more, _ = self.busy()
        self.assertLess(more, 75)
        self.assertGreater(more, 1.7 * percent)
        self.docker("update", "--cpus", "1", self.name, check=True)
        self.assertGreater(self.busy()[0], 1.2 * more)

    @only("kata", ONE_GUEST)
    def test_a_set_of_processors_holds_and_changes_live(self):
        self.sleeper("--cpus", "2", "--cpuset-cpus", "0")
        self.assertEqual(self.control("cpuset.cpus.effective"), "0")
        self.assertEqual(self.in_container("nproc").out, "1\n")
        one, _ = self.busy(2)
        self.assertLess(one, 115)
        self.docker("update", "--cpuset-cpus", "0-1", self.name, check=True)
        self.assertEqual(self.control("cpuset.cpus.effective"), "0-1")
        self.assertEqual(self.in_container("nproc").out, "2\n")
        self.assertGreater(self.busy(2)[0], 1.4 * one)


class LimitsByShim(Limits, DockerCase):
    door = SHIM


class LimitsByCommandLine(Limits, DockerCase):
    door = COMMAND_LINE

    # Under runc's command line Docker hears of this from a cgroup of the host, where it did not
    # happen: the exit code tells it, and `kata-runtime events`.
    def check_oom(self, since):
        if not self.runtime.is_vm:
            super().check_oom(since)

    def check_exec_oom(self, since):
        pass


@only("kata", ONE_GUEST)
class BySpecification(ContainerdCase):
    """What Docker has no words for, or takes back where its host lacks it."""

    @classmethod
    def set_up_bed(cls):
        cls.specs = SpecRunner(cls.containerd)

    def spec(self, script, *powers, **resources):
        spec = self.specs.new(self.name, script)
        spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                               "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]})
        spec["process"]["capabilities"] = capabilities("CAP_DAC_OVERRIDE", *powers)
        spec["linux"]["resources"] = resources
        return spec

    def test_a_limit_of_huge_pages_holds(self):
        spec = self.spec("\n".join([
            "mount -o remount,rw /proc/sys; echo 6 > /proc/sys/vm/nr_hugepages",
            "cat /proc/sys/vm/nr_hugepages /sys/fs/cgroup/hugetlb.2MB.max",
            "mkdir /huge; mount -t hugetlbfs none /huge",
            "fallocate -l 4M /huge/fits && echo fits; fallocate -l 2M /huge/more || echo refused",
            "cat /sys/fs/cgroup/hugetlb.2MB.current; rm /huge/*; umount /huge",
            "echo 0 > /proc/sys/vm/nr_hugepages"]), "CAP_SYS_ADMIN", "CAP_IPC_LOCK",
            hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}])
        spec["linux"]["readonlyPaths"] = []
        done = self.specs.run(self.name, spec, "--rm")
        self.assert_output(done, f"6\n{4 << 20}\nfits\nrefused\n{4 << 20}\n")

    @core
    def test_a_disk_is_as_slow_as_it_is_told_to_be(self):
        with loop_disk(f"{self.containerd.base}/disk", 16 << 20) as disk:
            number = os.stat(disk).st_rdev
            device = {"major": os.major(number), "minor": os.minor(number)}
            spec = self.spec("\n".join([
                "now() { cut -d' ' -f1 /proc/uptime | tr -d .; }",
                "write() { dd if=/dev/zero of=/dev/disk bs=64k count=$1 conv=fsync 2>/dev/null; }",
                "t=$(now); write 48; echo $(( $(now) - t )); cat /sys/fs/cgroup/io.max"]),
                blockIO={"throttleWriteBpsDevice": [{**device, "rate": 1 << 20}]},
                devices=[{"allow": True, "type": "b", **device, "access": "rwm"}])
            spec["linux"]["devices"] = [{"path": "/dev/disk", "type": "b", **device}]
            done = self.specs.run(self.name, spec, "--rm")
        self.assert_code(done, 0)
        self.assertIn("wbps=1048576", done.out)
        # Three MiB at one a second; what the first slice allows may pass at once.
        self.assertGreater(int(done.out.split()[0]), 190)
