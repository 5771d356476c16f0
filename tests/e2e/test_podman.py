# SPDX-License-Identifier: Apache-2.0
"""Podman with the OCI command line as its runtime; the same tests prove themselves with runc."""

import contextlib
import glob
import json
import os
import re
import secrets
import subprocess

from support.case import core, only
from support.podman_case import IMAGE, PodmanCase
from testbed.process import Terminal, wait_until
from testbed.runtime import processes

class Runs(PodmanCase):
    @core
    def test_run_gives_output_and_status(self):
        done = self.run_once("sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((done.code, done.out, done.err), (7, "out\n", "err\n"), done)
        self.assertEqual(self.out("ps", "-a", "-q"), "")

    def test_the_default_network_does_no_harm(self):
        self.assertEqual(self.out("run", "--rm", IMAGE, "echo", "up"), "up\n")

    def test_standard_input_reaches_the_container(self):
        text = b"line\n" * 5000
        done = self.run_once("wc", "-l", options=["-i"], stdin=text)
        self.assertEqual(done.out, "5000\n", done)

    def test_a_terminal_is_one(self):
        terminal = Terminal([self.engine.program, "run", "--rm", "-it", "--network", "none", IMAGE,
                             "sh", "-c", "tty; stty size; read line; echo got-$line; exit 5"],
                            size=(33, 101))
        self.addCleanup(terminal.close)
        terminal.read_until(re.compile(rb"/dev/pts/0\r\n33 101\r\n"), 120)
        terminal.write(b"words\r")
        terminal.read_until(re.compile(rb"got-words\r\n"), 60)
        self.assertEqual(terminal.wait(60), 5)

    def test_detached_containers_have_logs_and_a_status(self):
        self.start("sh", "-c", "echo to-the-log; exit 9")
        self.assertEqual(self.out("wait", self.name), "9\n")
        self.assertEqual(self.out("logs", self.name), "to-the-log\n")
        self.assertEqual(self.inspect("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}"),
                         "exited 9 false")

    def test_options_hold_inside(self):
        os.makedirs(f"{self.base}/volume", exist_ok=True)
        with open(f"{self.base}/volume/given", "w") as file:
            file.write("from outside\n")
        script = ("id -u; id -g; hostname; echo $WORD; pwd; cat /data/given; echo inside > /data/made; "
                  "df -t tmpfs /scratch | tail -n 1 | tr -s ' ' | cut -d' ' -f2; "
                  "touch /new 2>&1; grep CapEff /proc/self/status; ulimit -n")
        done = self.run_once("sh", "-c", script, options=[
            "--user", "1000:1500", "--hostname", "chosen", "--env", "WORD=spoken",
            "--workdir", "/var", "--volume", f"{self.base}/volume:/data", "--read-only",
            "--tmpfs", "/scratch:size=4m", "--cap-drop", "all", "--ulimit", "nofile=200:300",
            "--ulimit", "nproc=100:200", "--security-opt", "no-new-privileges"])
        # The volume belongs to root.
        self.assertEqual(done.out.splitlines(), [
            "1000", "1500", "chosen", "spoken", "/var", "from outside", "4096",
            "touch: /new: Read-only file system", "CapEff:\t0000000000000000", "200"], done)
        self.assertIn("/data/made: Permission denied", done.err)

    def test_volumes_keep_what_containers_write(self):
        self.addCleanup(self.podman, "volume", "rm", "--force", "kept")
        self.out("volume", "create", "kept")
        self.run_once("sh", "-c", "echo written > /v/file", options=["--volume", "kept:/v"])
        done = self.run_once("cat", "/v/file", options=["--volume", "kept:/v:ro"])
        self.assertEqual(done.out, "written\n", done)

    def test_an_init_reaps_for_the_container(self):
        done = self.run_once("sh", "-c", "cat /proc/1/comm; echo $$", options=["--init"])
        comm, own = done.out.split()
        self.assertIn(comm, ("podman-init", "catatonit", "init"), done)
        self.assertNotEqual(own, "1", done)

    def test_limits_are_set(self):
        if not self.runtime.is_vm:
            self.skipTest("runc's limits are in the host's layout of cgroups")
        done = self.run_once("sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max",
                             options=["--memory", "96m", "--cpus", "0.5", "--pids-limit", "33"])
        self.assertEqual(done.out.split(), [str(96 << 20), "50000", "100000", "33"], done)

    def test_too_much_memory_ends_the_container_and_is_told(self):
        self.start("sh", "-c", "exec tail /dev/zero", options=["--memory", "24m", "--memory-swap", "24m"])
        self.assertEqual(self.out("wait", self.name), "137\n")

    def test_stop_lets_the_program_say_goodbye(self):
        self.start("sh", "-c", "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.1; done")
        wait_until(lambda: "ready" in self.out("logs", self.name), 60, "the program's first word")
        self.out("stop", "-t", "60", self.name)
        self.assertEqual(self.inspect("{{.State.ExitCode}}"), "4")
        self.assertEqual(self.out("logs", self.name), "ready\nbye\n")

    def test_the_control_group_goes_with_the_container(self):
        self.start("sleep", "1000")
        number = self.inspect("{{.Id}}")
        self.assertTrue(self.cgroups(number))
        self.out("rm", "--force", "-t", "0", self.name)
        self.assertEqual(self.cgroups(number), [])

    @staticmethod
    def cgroups(number):
        return glob.glob(f"/sys/fs/cgroup/**/libpod-{number}*", recursive=True)

    def test_restart_policies_start_it_again(self):
        self.start("sh", "-c", "echo tried; exit 1", options=["--restart", "on-failure:2"])
        wait_until(lambda: self.inspect("{{.RestartCount}} {{.State.Status}}") == "2 exited", 120,
                   lambda: f"two restarts: {self.inspect('{{.RestartCount}} {{.State.Status}}')}")
        self.assertEqual(self.out("logs", self.name), "tried\n" * 3)

    def test_what_was_stopped_starts_again_with_its_files(self):
        self.start("sh", "-c", "cat /mark 2>/dev/null; echo here > /mark")
        self.out("wait", self.name)
        self.assertEqual(self.out("start", "--attach", self.name), "here\n")

    def test_a_program_that_is_not_there_is_127(self):
        done = self.run_once("/no/such/program")
        self.assertEqual(done.code, 127, done)
        self.assertIn("no such file", done.err.lower())


class Bed(PodmanCase):
    """One container that lives through the class."""

    kept = ("bed",)

    @classmethod
    def set_up_bed(cls):
        cls.out("run", "--detach", "--network", "none", "--name", "bed", "--tmpfs", "/scratch",
                "--health-cmd", "test -e /healthy", IMAGE, "sh", "-c",
                "echo started; while :; do sleep 1; done")

    def exec(self, *words, options=(), **rest):
        return self.podman("exec", *options, "bed", *words, **rest)

    def pid(self):
        return int(self.inspect("{{.State.Pid}}", "bed"))

    @core
    def test_exec_runs_beside_the_first_process(self):
        done = self.exec("sh", "-c", "id -u; pwd; echo $WORD; cat; exit 6", stdin=b"given\n", options=[
            "-i", "--user", "1000", "--workdir", "/etc", "--env", "WORD=spoken"])
        self.assertEqual((done.code, done.out), (6, "1000\n/etc\nspoken\ngiven\n"), done)

    def test_a_terminal_of_an_exec_is_one(self):
        terminal = Terminal([self.engine.program, "exec", "-it", "bed", "sh", "-c", "tty; exit 3"])
        self.addCleanup(terminal.close)
        terminal.read_until(re.compile(rb"/dev/pts/\d+\r\n"), 60)
        self.assertEqual(terminal.wait(60), 3)

    @core
    def test_files_are_copied_in_and_out_while_it_runs(self):
        mark = secrets.token_hex(8)
        folder = f"{self.base}/copied"
        os.makedirs(f"{folder}/in/deep", exist_ok=True)
        with open(f"{folder}/in/deep/file", "w") as file:
            file.write(mark)
        self.out("cp", f"{folder}/in", "bed:/var/got")
        wait_until(lambda: self.exec("cat", "/var/got/deep/file").out == mark, 30, "the copied file")
        self.exec("sh", "-c", f"mkdir -p /var/give; echo {mark} > /var/give/file")
        self.out("cp", "bed:/var/give/file", f"{folder}/file")
        with open(f"{folder}/file") as file:
            self.assertEqual(file.read(), f"{mark}\n")

    @only("kata", "with runc the container's own tmpfs is written to")
    def test_nothing_is_copied_to_where_the_container_would_not_see_it(self):
        for path in ("/scratch/x", "/proc/x", "/dev/shm/x"):
            done = self.podman("cp", "/etc/hostname", f"bed:{path}")
            self.assertNotEqual(done.code, 0, f"{path}: {done!r}")
        # Nor anywhere on the host.
        self.assertFalse(os.path.exists("/scratch"))
        self.assertFalse(os.path.exists("/dev/shm/x"))

    def test_the_process_shows_the_containers_files(self):
        root = f"/proc/{self.pid()}/root"
        with open(f"{root}/etc/kata-e2e") as file:
            self.assertEqual(file.read(), "made for tests\n")
        self.assertFalse(os.path.exists(f"{root}{self.base}"))

    def test_top_tells_of_the_container_alone(self):
        self.exec("sh", "-c", "sleep 300 &")
        rows = [line.split() for line in self.out("top", "bed", "pid,ppid,user,comm").splitlines()]
        self.assertEqual(rows[0], ["PID", "PPID", "USER", "COMMAND"])
        self.assertIn(["1", "0", "root", "sh"], rows)
        self.assertIn(["root", "sleep"], [row[2:] for row in rows])
        self.assertLess(len(rows), 6, rows)
        # What psgo does not know is asked of ps inside.
        self.assertRegex(self.out("top", "bed", "-o", "pid,args"), r"(?m)^ *1 sh -c echo started")

    def test_statistics_are_those_of_the_whole_machine(self):
        row = json.loads(self.out("stats", "--no-stream", "--format", "json", "bed"))[0]
        self.assertEqual(row["name"], "bed")
        number, unit = re.match(r"([\d.]+)(\wB)", row["mem_usage"]).groups()
        mib = float(number) * {"kB": 1e-3, "MB": 1, "GB": 1e3}[unit]
        if self.runtime.is_vm:
            self.assertGreater(mib, 40, row)
        with open(f"/proc/{self.pid()}/cgroup") as file:
            path = max((line.strip().split(":", 2)[2] for line in file), key=len)
        self.assertIn("libpod-", path)
        found = {os.path.basename(argv[0]) for pid, argv in processes() if in_cgroup(pid, path)}
        if self.runtime.is_vm:
            for part in ("containerd-shim-kata-v2", "virtiofsd", "qemu-system-x86_64"):
                self.assertIn(part, found)

    def test_a_paused_container_takes_no_exec_until_it_goes_on(self):
        self.out("pause", "bed")
        self.assertEqual(self.inspect("{{.State.Status}}", "bed"), "paused")
        self.assertNotEqual(self.exec("true").code, 0)
        self.out("unpause", "bed")
        self.assertEqual(self.exec("echo", "again").out, "again\n")

    def test_commit_makes_an_image_of_what_was_changed(self):
        self.exec("sh", "-c", "echo changed > /etc/changed")
        self.addCleanup(self.podman, "rmi", "--force", "localhost/committed")
        self.out("commit", "-q", "bed", "localhost/committed")
        self.assertEqual(self.out("run", "--rm", "--network", "none", "localhost/committed", "cat",
                                  "/etc/changed"), "changed\n")
        self.assertIn("A /etc/changed", self.out("diff", "bed"))

    def test_healthchecks_run_inside(self):
        self.assertEqual(self.podman("healthcheck", "run", "bed").code, 1)
        self.exec("touch", "/healthy")
        self.assertEqual(self.podman("healthcheck", "run", "bed").code, 0)

    def test_kill_reaches_the_program(self):
        self.start("sh", "-c", "trap 'exit 21' USR1; echo ready; while :; do sleep 0.1; done")
        wait_until(lambda: "ready" in self.out("logs", self.name), 60, "the program's first word")
        self.out("kill", "--signal", "USR1", self.name)
        self.assertEqual(self.out("wait", self.name), "21\n")

    def test_attach_carries_both_ways(self):
        self.start("sh", "-c", "read line; echo got-$line; exit 8", options=["-i"])
        done = self.podman("attach", self.name, stdin=b"words\n")
        self.assertTrue(done.out.startswith("got-words\n"), done)
        self.assertEqual(self.out("wait", self.name), "8\n")


class Pods(PodmanCase):
    def vmms(self):
        return [pid for pid, argv in processes()
                if os.path.basename(argv[0]).startswith("qemu-system") and self.visible(pid)]

    @staticmethod
    def visible(pid):
        """Other people's machines are in other mount namespaces below other /run folders."""
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/ns/net") is not None and \
                "libpod" in open(f"/proc/{pid}/cgroup").read()
        return False

    def test_containers_of_a_pod_share_one_machine(self):
        before = set(self.vmms())
        self.out("pod", "create", "--name", "pod", "--hostname", "podhost", "--network", "none")
        self.out("run", "--detach", "--pod", "pod", "--name", "server", IMAGE, "sh", "-c",
                 "echo shared > /dev/shm/note; nc -l -p 5000 -e cat; sleep 1000")
        talk = "hostname; cat /dev/shm/note; until echo said | nc -w 5 127.0.0.1 5000; do sleep 0.2; done"
        done = self.podman("run", "--rm", "--pod", "pod", IMAGE, "sh", "-c", talk)
        self.assertEqual(done.out, "podhost\nshared\nsaid\n", done)
        if self.runtime.is_vm:
            self.assertEqual(len(set(self.vmms()) - before), 1)
        rows = self.out("pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}")
        self.assertEqual(rows, "pod Running 2\n")
        self.out("pod", "stop", "-t", "0", "pod")
        self.assertEqual(set(self.vmms()) - before, set())
        self.out("pod", "start", "pod")
        self.assertEqual(self.podman("exec", "server", "hostname").out, "podhost\n")
        self.out("pod", "rm", "--force", "-t", "0", "pod")
        self.assertEqual(set(self.vmms()) - before, set())

    def test_a_pod_without_an_infra_container_is_a_group_only(self):
        self.out("pod", "create", "--name", "pod", "--infra=false")
        for name in ("one", "two"):
            self.out("run", "--detach", "--pod", "pod", "--name", name, "--network", "none", IMAGE,
                     "sleep", "1000")
        self.assertEqual(self.podman("exec", "two", "echo", "lives").out, "lives\n")
        self.out("rm", "--force", "-t", "0", "one")
        self.assertEqual(self.podman("exec", "two", "echo", "on").out, "on\n")

    def test_pods_can_share_their_processes(self):
        self.out("pod", "create", "--name", "pod", "--share", "pid,ipc,net,uts", "--network", "none")
        done = self.podman("run", "--rm", "--pod", "pod", IMAGE, "sh", "-c", "cat /proc/1/cmdline")
        self.assertIn("catatonit", done.out, done)

    def test_a_container_joins_the_namespaces_of_another(self):
        self.start("sh", "-c", "nc -l -p 5000 -e cat; sleep 1000")
        named = self.podman("exec", self.name, "hostname").out
        done = self.podman("run", "--rm", "--network", f"container:{self.name}", IMAGE, "sh", "-c",
                           "until echo said | nc -w 5 127.0.0.1 5000; do sleep 0.2; done; hostname")
        self.assertEqual(done.out.split("\n")[0], "said", done)
        # The other namespaces are its own.
        self.assertNotEqual(done.out.split("\n")[1], named.strip(), done)
        self.assertEqual(self.podman("exec", self.name, "hostname").out, named)

    @only("kata", "two machines have no namespaces in common")
    def test_namespaces_of_two_machines_are_refused_together(self):
        self.start("sleep", "1000")
        self.addCleanup(self.podman, "rm", "--force", "-t", "0", "other")
        self.out("run", "--detach", "--network", "none", "--name", "other", IMAGE, "sleep", "1000")
        done = self.podman("run", "--rm", "--network", f"container:{self.name}", "--ipc",
                           "container:other", IMAGE, "true")
        self.assertNotEqual(done.code, 0)
        self.assertIn("different virtual machines", done.err)


class ClosedReaders(PodmanCase):
    def test_a_program_ends_when_nobody_reads_its_output(self):
        words = [self.engine.program, "run", "--rm", "--network", "none", IMAGE, "yes"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            self.assertEqual(child.stdout.readline(), b"y\n")
            child.stdout.close()
            self.assertNotEqual(child.wait(120), 0)


def in_cgroup(pid, path):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup") as file:
        return f":{path}\n" in file.read()
    return False
