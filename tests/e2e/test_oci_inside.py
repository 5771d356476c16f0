# SPDX-License-Identifier: Apache-2.0
"""What the OCI command line does to a container, seen inside: its limits, cgroups and processes.

On a host with runc these are cgroups of the host, where the suites of other runtimes look.
"""

import json
import threading

from support.case import only
from support.oci import OciCase, reap_orphans
from testbed.process import wait_until

MIB = 1 << 20


@only("kata", "cgroups of runc's containers are the host's")
class Limits(OciCase):
    """One container whose limits change; each test sets what it looks at."""

    def setUp(self):
        super().setUp()
        shared = type(self)
        if not shared.kept:
            self.run_detached("sleep", "1000", change=self.limit)
            shared.kept = (self.name,)
        self.name = shared.kept[0]

    @staticmethod
    def limit(spec):
        spec["linux"]["resources"].update(
            memory={"limit": 96 * MIB, "reservation": 32 * MIB}, pids={"limit": 50},
            cpu={"shares": 100, "quota": 500000, "period": 1000000})

    def value(self, *names):
        done = self.cli("exec", self.name, "sh", "-c",
                        "cd /sys/fs/cgroup; cat " + " ".join(names))
        self.assert_code(done, 0)
        return done.out.split("\n")[:-1]

    def update(self, *flags, stdin=b""):
        self.assert_code(self.cli("update", *flags, self.name, stdin=stdin), 0)

    def test_1_limits_of_the_bundle_hold_from_the_start(self):
        self.assertEqual(
            self.value("memory.max", "memory.low", "pids.max", "cpu.weight", "cpu.max"),
            [str(96 * MIB), str(32 * MIB), "50", "17", "500000 1000000"])

    def test_memory_and_swap(self):
        self.update("--memory", "64M")
        self.assertEqual(self.value("memory.max"), [str(64 * MIB)])
        self.update("--memory-reservation", str(48 * MIB))
        self.assertEqual(self.value("memory.low"), [str(48 * MIB)])
        self.update("--memory", "60M", "--memory-swap", "80M")
        self.assertEqual(self.value("memory.max", "memory.swap.max"),
                         [str(60 * MIB), str(20 * MIB)])
        self.update("--memory-swap", "-1")
        self.assertEqual(self.value("memory.swap.max"), ["max"])
        self.update("--memory", "-1")
        self.assertEqual(self.value("memory.max"), ["max"])

    def test_processor_time(self):
        self.update("--cpu-quota", "600000", "--cpu-period", "900000", "--cpu-share", "200")
        self.assertEqual(self.value("cpu.max", "cpu.weight"), ["600000 900000", "29"])
        self.update("--cpu-period", "800000")
        self.assertEqual(self.value("cpu.max"), ["600000 800000"])
        self.update("--cpu-quota", "-1")
        self.assertEqual(self.value("cpu.max"), ["max 800000"])

    def test_processes(self):
        self.update("--pids-limit", "10")
        self.assertEqual(self.value("pids.max"), ["10"])
        self.update("--pids-limit", "-1")
        self.assertEqual(self.value("pids.max"), ["max"])

    def test_resources_as_json(self):
        self.update("-r", "-", stdin=json.dumps({
            "cpu": {"shares": 100, "quota": 500000, "period": 1000000, "cpus": "0"},
            "unified": {"pids.max": "44", "memory.high": str(80 * MIB)}}).encode())
        self.assertEqual(
            self.value("cpu.max", "cpu.weight", "cpuset.cpus", "pids.max", "memory.high"),
            ["500000 1000000", "17", "0", "44", str(80 * MIB)])

    def test_a_paused_container_is_updated_and_stays_paused(self):
        self.assert_code(self.cli("pause", self.name), 0)
        self.update("--pids-limit", "30")
        self.assertEqual(self.state()["status"], "paused")
        self.assert_code(self.cli("resume", self.name), 0)
        self.assertEqual(self.value("pids.max"), ["30"])


@only("kata", "cgroups of runc's containers are the host's")
class Events(OciCase):
    def test_an_out_of_memory_kill_is_an_event(self):
        def limit(spec):
            spec["linux"]["resources"]["memory"] = {"limit": 32 * MIB, "swap": 32 * MIB}
        self.run_detached("sleep", "1000", change=limit)
        events = self.popen("events", "--interval", "200ms", self.name)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(events.stdout))
        reader.start()
        try:
            wait_until(lambda: lines, 30, "statistics")
            done = self.cli("exec", self.name, "sh", "-c", "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x)")
            self.assertNotEqual(done.code, 0)
            wait_until(lambda: any(json.loads(line)["type"] == "oom" for line in list(lines)), 30,
                       lambda: f"an oom event in {lines[-3:]}")
            self.assertEqual(self.state()["status"], "running")
            self.assert_code(self.cli("kill", self.name, "KILL"), 0)
            self.assertEqual(events.wait(30), 0)  # the container's end is that of its events
        finally:
            events.kill()
            reader.join()
            events.communicate()
            reap_orphans()


class Created(OciCase):
    """A container that was created and not started."""

    def setUp(self):
        super().setUp()
        folder = self.bundle("sleep", "1000")
        with open(f"{self.base}/out-{self.name}", "wb") as out:
            child = self.popen("create", "--bundle", folder, self.name, stdout=out, stderr=out)
            self.assertEqual(child.wait(200), 0, self.output())

    def test_it_takes_execs_and_can_be_paused(self):
        self.assert_output(self.cli("exec", self.name, "sh", "-c", "echo $$ > /tmp/e; echo in"), "in\n")
        self.assertEqual(self.state()["status"], "created")
        if self.runtime.is_vm:  # the cgroups of test hosts may have no freezer for runc
            self.assert_code(self.cli("pause", self.name), 0)
            self.assertEqual(self.state()["status"], "paused")
            self.assert_refused(self.cli("exec", self.name, "true"), "cannot exec in a paused", 255)
            self.assert_code(self.cli("resume", self.name), 0)
            self.assertEqual(self.state()["status"], "created")
        self.assert_code(self.cli("start", self.name), 0)
        self.wait_status("running")


@only("kata", "cgroups of runc's containers are the host's")
class Cgroups(OciCase):
    def test_exec_chooses_a_cgroup_below_the_containers(self):
        def writable(spec):
            for mount in spec["mounts"]:
                if mount["type"] == "cgroup":
                    mount["options"].remove("ro")
        self.run_detached("sleep", "1000", change=writable)

        def inside(*options):
            return self.cli("exec", *options, self.name, "cat", "/proc/self/cgroup")
        self.assert_output(inside(), "0::/\n")
        self.assert_output(inside("--cgroup", "/"), "0::/\n")
        self.assert_refused(inside("--cgroup", ".."), " .. is not a sub cgroup path", 255)
        self.assert_refused(inside("--cgroup", "a/../.."), "is not a sub cgroup path", 255)
        self.assert_refused(inside("--cgroup", "none"), "/none/cgroup.procs: no such file", 255)
        self.assert_refused(inside("--cgroup", "memory:none"), "unknown controller memory", 255)
        self.assert_code(self.cli("exec", self.name, "mkdir", "/sys/fs/cgroup/inner"), 0)
        self.assert_output(inside("--cgroup", "inner"), "0::/inner\n")
        # With a controller handed on, the container's own may hold no process.
        self.assert_code(self.cli(
            "exec", self.name, "sh", "-ec", "cd /sys/fs/cgroup; echo 1 > inner/cgroup.procs;"
            "echo $$ > inner/cgroup.procs; echo +memory > cgroup.subtree_control"), 0)
        self.assert_output(inside(), "0::/inner\n")
        self.assert_refused(inside("--cgroup", "/"), "device or resource busy", 255)


class Processes(OciCase):
    def test_ps_takes_options_of_ps(self):
        if not self.runtime.is_vm:
            self.skipTest("runc hands them to the host's ps")
        self.run_detached("sleep", "1000")
        full = self.cli("ps", self.name).out.splitlines()
        self.assertRegex(full[1], r"^root\s+\d+\s+\d+\s+0\s+\S+\s+\?\s+00:00:\d\d sleep 1000$")
        short = self.cli("ps", self.name, "-e").out.splitlines()
        self.assertRegex(short[0], r"^ +PID TTY +TIME CMD$")
        self.assertRegex(short[1], r"^ *\d+ \? +00:00:\d\d sleep$")
        bsd = self.cli("ps", self.name, "-e", "-x").out.splitlines()
        self.assertRegex(bsd[0], r"^ +PID TTY +STAT +TIME COMMAND$")
        self.assertRegex(bsd[1], r"^ *\d+ \? +[RSD]\S* +0:\d\d sleep 1000$")
        self.assert_refused(self.cli("ps", self.name, "--forest"), r"--forest\" is not known")


class Debug(OciCase):
    def test_steps_are_told_with_debug_only(self):
        folder = self.bundle("true")
        self.assertEqual(self.cli("run", "--bundle", folder, self.name).err, "")
        err = self.cli("--debug", "run", "--bundle", folder, self.name).err
        self.assertIn("level=debug", err)
        self.assertIn("container setup", err)
        log = f"{self.base}/debug.log"
        done = self.cli("--log", log, "--log-format", "json", "--debug", "run", "--bundle", folder,
                        self.name)
        self.assert_code(done, 0)
        self.assertNotIn("debug", done.err)
        with open(log) as file:
            levels = {json.loads(line)["level"] for line in file}
        self.assertEqual(levels, {"debug"})
