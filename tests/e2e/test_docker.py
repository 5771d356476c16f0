# SPDX-License-Identifier: Apache-2.0
"""Docker through both doors: containerd's shim API, and runc's command line under runc's shim.

Docker 20.10 has the second only. Which Docker runs follows from the containerd series: both are of one
Debian suite.
"""

import contextlib
import json
import os
import re
import subprocess
import time

from support.case import core, only
from support.docker_case import DockerCase
from testbed.containerd import Lines
from testbed.docker import COMMAND_LINE, IMAGE, SHIM
from testbed.host import loop_disk
from testbed.process import parallel, run, wait_until

SIZE = re.compile(r"([0-9.]+)([KMG]?i?B)")


def size_bytes(text):
    number, unit = SIZE.fullmatch(text).groups()
    return float(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


class Running:
    """One container for the whole class."""

    @classmethod
    def set_up_bed(cls):
        cls.box = "box"
        cls.kept = ("box",)
        cls.bed.docker(
            "run", "-d", "--name", "box", "--network", "none", "--memory", "128m", "--cpus", "0.9",
            "--pids-limit", "100", IMAGE, "sh", "-c", "\n".join([
                "trap 'echo got-USR1' USR1; trap 'echo got-HUP' HUP; trap 'echo got-WINCH' WINCH",
                "for i in 1 2 3 4 5; do echo line-$i; done; echo warning >&2; echo ready",
                "sleep 1000000 & while :; do wait; done"]), check=True)
        wait_until(lambda: "ready" in cls.bed.docker("logs", "box").out, 60, "the box is ready")

    def in_box(self, *command, flags=(), **options):
        return self.docker("exec", *flags, self.box, *command, **options)

    def box_script(self, *lines):
        return self.docker("exec", self.box, "sh", "-c", "\n".join(lines), check=True).out

    def control(self, file):
        """A file of the container's own cgroup, as the guest has it."""
        return self.box_script(f"cat /sys/fs/cgroup/{file}").strip()

    @core
    def test_exec_gives_streams_and_exit_code(self):
        done = self.in_box("sh", "-c", "echo out; echo err >&2; exit 9")
        self.assert_code(done, 9)
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))
        self.assert_output(self.in_box("cat", flags=["-i"], stdin=b"through\n"), "through\n")

    @core
    def test_exec_takes_user_directory_and_environment(self):
        done = self.in_box("sh", "-c", "id -u; id -g; pwd; echo $WORD", flags=[
            "-u", "1000:1500", "-w", "/tmp", "-e", "WORD=two words"])
        self.assert_output(done, "1000\n1500\n/tmp\ntwo words\n")

    @core
    def test_exec_with_a_terminal_follows_its_size(self):
        terminal = self.bed.terminal("exec", "-it", self.box, "sh", "-c", "\n".join([
            "until stty size | grep '^41 101'; do sleep 0.1; done",
            "until stty size | grep '^42 102'; do sleep 0.1; done",
            "read word; echo got-$word; exit 5"]), size=(41, 101))
        try:
            terminal.read_until(re.compile(rb"41 101\r"), 60)
            # The client may not listen to changes yet: the size changes until one has arrived.
            def seen():
                terminal.resize(43, 103)
                terminal.resize(42, 102)
                with contextlib.suppress(AssertionError):
                    return terminal.read_until(re.compile(rb"42 102\r"), 2)
            wait_until(seen, 60, "the new size")
            terminal.write(b"x\n")
            terminal.read_until(re.compile(rb"got-x\r"), 30)
            self.assertEqual(terminal.wait(30), 5)
        finally:
            terminal.close()

    def test_exec_passes_control_c_on(self):
        terminal = self.bed.terminal("exec", "-it", self.box, "sh", "-c",
                                     "trap 'echo caught; exit 6' INT; echo rea''dy; "
                                     "while :; do sleep 0.1; done")
        try:
            terminal.read_until(re.compile(rb"ready"), 60)
            terminal.write(b"\x03")
            terminal.read_until(re.compile(rb"caught"), 30)
            self.assertEqual(terminal.wait(30), 6)
        finally:
            terminal.close()

    @core
    def test_exec_of_what_does_not_exist_or_cannot_run_is_127_or_126(self):
        done = self.in_box("no-such-program")
        # Docker knows one number only before 27.
        self.assert_code(done, 127 if self.series == "28.5" else 126)
        self.assertIn("no-such-program", done.out + done.err)
        self.assertIn("executable file not found in $PATH", done.out + done.err)
        self.assert_code(self.in_box("/etc/passwd"), 126)
        self.assert_output(self.in_box("echo", "fine"), "fine\n")

    def test_a_detached_exec_runs_on(self):
        self.in_box("sh", "-c", "sleep 0.2; echo $$ > /detached; exec sleep 10000", flags=["-d"],
                    check=True)
        wait_until(lambda: self.in_box("test", "-s", "/detached").code == 0, 60, "the exec runs")
        self.box_script("kill $(cat /detached)")

    def test_thirty_execs_four_at_once_all_answer(self):
        def answers(number):
            self.assert_output(self.in_box("echo", number), f"{number}\n")
        parallel([lambda number=number: answers(number) for number in range(30)], 4)

    @core
    def test_logs_tail_and_follow(self):
        done = self.docker("logs", self.box)
        self.assertTrue(done.out.startswith("line-1\nline-2\n"), done)
        self.assertIn("warning\n", done.err)
        with self.background(self.bed.popen("logs", "-f", "--tail", "2", self.box)) as child:
            lines = Lines(child.stdout)
            wait_until(lambda: lines.text.count("\n") >= 2 or "ready" in lines.text, 30,
                       "the log's end")
            self.assertNotIn("line-1", lines.text)
            before = lines.text.count("got-HUP")
            self.docker("kill", "--signal", "HUP", self.box, check=True)
            wait_until(lambda: lines.text.count("got-HUP") == before + 1, 60, "the new line")

    @core
    def test_kill_sends_the_signal_that_is_named(self):
        for word, seen in (("USR1", "got-USR1"), ("SIGHUP", "got-HUP"), ("28", "got-WINCH")):
            before = self.logs(self.box).count(seen)
            self.docker("kill", "--signal", word, self.box, check=True)
            wait_until(lambda: self.logs(self.box).count(seen) == before + 1, 60, seen)
        self.assertEqual(self.inspect(".State.Status", self.box), "running")

    @core
    def test_stats_are_the_container_s(self):
        def stats():
            done = self.docker("stats", "--no-stream", "--format", "{{json .}}", self.box, check=True)
            return json.loads(done.out)
        self.box_script("head -c 30000000 /dev/zero > /dev/shm/ballast")
        first = stats()
        usage, limit = (size_bytes(part.strip()) for part in first["MemUsage"].split("/"))
        self.check_memory(usage, limit)
        self.assertGreaterEqual(int(first["PIDs"]), 2)
        self.assertLess(int(first["PIDs"]), 60)
        self.in_box("sh", "-c", "echo $$ > /busy; while :; do :; done", flags=["-d"], check=True)
        wait_until(lambda: self.in_box("test", "-s", "/busy").code == 0, 60, "the loop runs")
        busy = stats()
        self.box_script("kill $(cat /busy); rm /dev/shm/ballast")
        self.assertGreater(float(busy["CPUPerc"].rstrip("%")), 1, busy)

    def check_memory(self, usage, limit):
        self.assertGreater(usage, 30_000_000)
        self.assertLess(usage, 128 << 20)
        self.assertEqual(limit, 128 << 20)

    @core
    def test_top_shows_processes_of_the_container_and_nobody_else_s(self):
        done = self.docker("top", self.box, "-eo", "pid,args", check=True)
        lines = done.out.splitlines()
        self.assertGreaterEqual(len(lines), 2, done)
        self.check_top([line.split(None, 1) for line in lines[1:]])

    def check_top(self, rows):
        """What stands there must belong to the container: its program, or its machine."""
        box = self.inspect(".Id", self.box)
        for pid, command in rows:
            self.assertTrue("sleep 1000000" in command or box in command or "sh -c" in command,
                            (pid, command))

    @core
    def test_files_are_copied_both_ways(self):
        source = f"{self.bed.base}/copy"
        os.makedirs(f"{source}/deep", exist_ok=True)
        for path, text in ((f"{source}/one", "1\n"), (f"{source}/deep/two", "2\n")):
            with open(path, "w") as file:
                file.write(text)
        os.chmod(f"{source}/one", 0o4751)
        self.docker("cp", source, f"{self.box}:/copied", check=True)
        self.assertEqual(self.box_script("stat -c %a /copied/one; cat /copied/one /copied/deep/two"),
                         "4751\n1\n2\n")
        self.box_script("echo changed > /copied/one; echo new > /copied/deep/three")
        self.docker("cp", f"{self.box}:/copied", f"{self.bed.base}/back", check=True)
        with open(f"{self.bed.base}/back/one") as file:
            self.assertEqual(file.read(), "changed\n")
        with open(f"{self.bed.base}/back/deep/three") as file:
            self.assertEqual(file.read(), "new\n")
        self.docker("cp", f"{source}/one", f"{self.box}:/etc/replaced", check=True)
        self.docker("cp", f"{source}/deep/two", f"{self.box}:/etc/replaced", check=True)
        self.assertEqual(self.box_script("cat /etc/replaced"), "2\n")

    def test_commit_and_diff_have_what_was_written(self):
        self.box_script("echo committed > /etc/committed; rm /etc/kata-e2e")
        difference = self.docker("diff", self.box, check=True).out.splitlines()
        self.assertIn("A /etc/committed", difference)
        self.assertIn("D /etc/kata-e2e", difference)
        self.docker("commit", "--change", "LABEL made=by-commit", self.box, "kata/committed",
                    check=True)
        self.docker("create", "--name", self.name, "kata/committed", "true", check=True)
        self.docker("cp", f"{self.name}:/etc/committed", f"{self.bed.base}/committed", check=True)
        with open(f"{self.bed.base}/committed") as file:
            self.assertEqual(file.read(), "committed\n")
        self.assertEqual(self.inspect(".State.Status", self.box), "running")

    @core
    @only("kata", "a guest has version 2 of control groups, a host what it has")
    def test_update_changes_the_limits_inside(self):
        self.assertEqual(self.control("memory.max"), str(128 << 20))
        self.assertEqual(self.control("cpu.max"), "90000 100000")
        self.assertEqual(self.control("pids.max"), "100")
        self.docker("update", "--memory", "160m", "--memory-swap", "-1", "--cpus", "0.5",
                    "--pids-limit", "77", "--cpu-shares", "512", self.box, check=True)
        self.assertEqual(self.control("memory.max"), str(160 << 20))
        self.assertEqual(self.control("cpu.max"), "50000 100000")
        self.assertEqual(self.control("pids.max"), "77")
        self.assertEqual(self.inspect(".HostConfig.Memory", self.box), 160 << 20)
        self.docker("update", "--memory", "128m", "--memory-swap", "-1", "--cpus", "0.9",
                    "--pids-limit", "100", "--cpu-shares", "1024", self.box, check=True)
        self.assertEqual(self.control("memory.max"), str(128 << 20))

    @core
    def test_a_paused_container_stands_still(self):
        self.in_box("sh", "-c", "while test ! -e /stop; do echo x >> /ticks; sleep 0.1; done",
                    flags=["-d"], check=True)
        wait_until(lambda: self.in_box("test", "-s", "/ticks").code == 0, 60, "the counter runs")
        self.docker("pause", self.box, check=True)
        self.assertEqual(self.inspect(".State.Status", self.box), "paused")
        def ticks():
            self.docker("cp", f"{self.box}:/ticks", f"{self.bed.base}/ticks", check=True)
            return os.path.getsize(f"{self.bed.base}/ticks")
        first = ticks()
        # One that is not paused, on the host, tells that time has passed.
        other = self.bed.new_name()
        self.cli("run", "-d", "--rm", "--name", other, "--network", "none", IMAGE, "sh", "-c",
                 "while :; do echo x; sleep 0.1; done", plain=True, check=True)
        wait_until(lambda: self.docker("logs", other).out.count("x") > 15, 60, "the other counter runs")
        self.assertEqual(ticks(), first)
        refused = self.in_box("true")
        self.assertNotEqual(refused.code, 0)
        self.assertIn("paused", refused.err)
        self.docker("unpause", self.box, check=True)
        self.assertEqual(self.inspect(".State.Status", self.box), "running")
        wait_until(lambda: ticks() > first, 60, "the counter runs again")
        self.box_script("touch /stop")

    def test_events_tell_of_what_happened(self):
        since = str(time.time())
        self.in_box("true", check=True)
        self.docker("pause", self.box, check=True)
        self.docker("unpause", self.box, check=True)
        self.docker("kill", "--signal", "HUP", self.box, check=True)
        done = self.docker("events", "--since", since, "--until", str(time.time() + 1), "--filter",
                           "container=box", "--format", "{{.Action}}", check=True)
        actions = [line.split(":")[0] for line in done.out.splitlines()]
        self.assertEqual([a for a in actions if a in ("exec_create", "exec_start", "exec_die",
                                                      "pause", "unpause", "kill")],
                         ["exec_create", "exec_start", "exec_die", "pause", "unpause", "kill"])

    def test_rename_keeps_the_container(self):
        self.docker("rename", self.box, "another", check=True)
        try:
            self.assert_output(self.docker("exec", "another", "echo", "there"), "there\n")
        finally:
            self.docker("rename", "another", self.box, check=True)

    @core
    def test_its_pid_is_alive_and_in_a_network_namespace_of_its_own(self):
        pid = self.inspect(".State.Pid", self.box)
        self.assertGreater(pid, 1)
        read = self.bed.entered("readlink", f"/proc/{pid}/ns/net", "/proc/1/ns/net")
        network, daemon = run(read, 20).out.split()
        self.assertNotEqual(network, daemon)

    def test_attach_shows_output_and_leaves_the_container(self):
        with self.background(self.bed.popen("attach", "--no-stdin", "--sig-proxy=false",
                                            self.box)) as child:
            lines = Lines(child.stdout)
            def seen():
                self.docker("kill", "--signal", "USR1", self.box, check=True)
                return "got-USR1" in lines.text
            wait_until(seen, 60, "output arrives at the one attached")
        self.assertEqual(self.inspect(".State.Status", self.box), "running")


class Fresh:
    """Containers of each test's own."""

    # For checkpoints.
    options = ("--experimental",)

    @core
    def test_run_gives_streams_and_exit_code(self):
        done = self.run_in("--network", "none", "-i", *self.shell(
            "cat; echo err >&2; exit 23"), stdin=b"piped\n")
        self.assert_code(done, 23)
        self.assertEqual((done.out, done.err), ("piped\n", "err\n"))
        self.assertEqual(self.bed.containers(), [])

    def test_run_with_a_terminal_follows_its_size(self):
        terminal = self.bed.terminal(*self.run_arguments(
            "--rm", "-it", "--network", "none", *self.shell(
                "until stty size | grep '^31 91'; do sleep 0.1; done",
                "until stty size | grep '^32 92'; do sleep 0.1; done",
                "read word; echo got-$word; exit 5")), size=(31, 91))
        try:
            terminal.read_until(re.compile(rb"31 91\r"), 120)
            terminal.resize(32, 92)
            terminal.read_until(re.compile(rb"32 92\r"), 60)
            terminal.write(b"y\n")
            terminal.read_until(re.compile(rb"got-y\r"), 30)
            self.assertEqual(terminal.wait(60), 5)
        finally:
            terminal.close()

    @core
    def test_stop_wait_start_and_restart(self):
        self.run_detached("--network", "none", *self.shell(
            "echo begun; trap 'echo ended; exit 7' TERM", "sleep 1000000 & while :; do wait; done"))
        self.wait_logs("begun")
        with self.background(self.bed.popen("wait", self.name)) as waiting:
            self.docker("stop", "--time", "60", self.name, check=True)
            self.assertEqual(waiting.communicate(timeout=60)[0], b"7\n")
        state = self.inspect(".State")
        self.assertEqual((state["Status"], state["ExitCode"], state["OOMKilled"]),
                         ("exited", 7, False))
        self.docker("start", self.name, check=True)
        wait_until(lambda: self.logs().count("begun") == 2, 60, "the second run")
        self.docker("restart", "--time", "60", self.name, check=True)
        wait_until(lambda: self.logs().count("begun") == 3, 60, "the third run")
        self.assertEqual(self.logs().count("ended"), 2)
        self.docker("rm", "--force", self.name, check=True)
        self.assert_clean()

    def test_what_ignores_term_is_killed_after_the_grace(self):
        self.run_detached("--network", "none", *self.shell(
            "trap '' TERM; echo ready; while :; do sleep 1; done"))
        self.wait_logs("ready")
        self.docker("stop", "--time", "1", self.name, check=True)
        self.assertEqual(self.inspect(".State.ExitCode"), 137)

    def test_attach_answers_and_ends_with_the_container_s_code(self):
        self.run_detached("--interactive", "--network", "none", *self.shell(
            "read word; echo got-$word; sleep 1; exit 8"))
        with self.background(self.bed.popen("attach", self.name, stdin=subprocess.PIPE)) as child:
            lines = Lines(child.stdout)
            child.stdin.write(b"word\n")
            child.stdin.flush()
            lines.wait_for("got-word\n", 60)
            self.assertEqual(child.wait(60), 8)

    def test_on_failure_restarts_as_often_as_it_says(self):
        self.run_detached("--network", "none", "--restart", "on-failure:2",
                          *self.shell("echo run; exit 3"))
        wait_until(lambda: self.inspect(".RestartCount") == 2 and
                   self.inspect(".State.Status") == "exited", 120, "two restarts")
        self.assertEqual(self.logs(), "run\n" * 3)
        self.assertEqual(self.inspect(".State.ExitCode"), 3)

    def test_always_restarts_after_success_and_not_after_stop(self):
        self.run_detached("--network", "none", "--restart", "always",
                          *self.shell("echo run; test -e /second && exec sleep 1000000",
                                      "touch /second"))
        wait_until(lambda: self.logs().count("run") == 2, 120, "the restart")
        self.wait_state(".State.Status", "running")
        self.docker("stop", "--time", "1", self.name, check=True)
        # Docker decides when it hears of the end: what it will start again is "restarting".
        self.assertEqual(self.inspect(".State.Status"), "exited")
        self.assertEqual(self.inspect(".RestartCount"), 1)
        self.assertEqual(self.logs().count("run"), 2)

    def test_healthchecks_tell_health(self):
        self.run_detached("--network", "none", "--health-cmd", "test -e /fine && echo looks-fine",
                          "--health-interval", "1s", "--health-retries", "2", "--health-timeout",
                          "60s", *self.shell("touch /fine; exec sleep 1000000"))
        self.wait_state(".State.Health.Status", "healthy", 90)
        self.assertIn("looks-fine", self.inspect(".State.Health.Log")[-1]["Output"])
        self.docker("exec", self.name, "rm", "/fine", check=True)
        self.wait_state(".State.Health.Status", "unhealthy", 90)

    def test_init_is_the_first_process_and_reaps(self):
        self.run_detached("--network", "none", "--init", *self.shell(
            "sh -c 'sleep 0.2 & exit 0'; sleep 1; ps -o pid,stat,args; exec sleep 1000000"))
        self.wait_logs("ps -o")
        listed = self.logs()
        self.assertRegex(listed, r"(?m)^ *1 \S+ +\S*(docker-init|tini)")
        self.assertNotRegex(listed, r"(?m)^ *\d+ Z")
        self.docker("stop", "--time", "30", self.name, check=True)
        self.assertEqual(self.inspect(".State.ExitCode"), 143)

    @core
    def test_volumes_tmpfs_and_a_read_only_root(self):
        for folder in ("rw", "ro"):
            os.makedirs(f"{self.bed.base}/volumes/{folder}", exist_ok=True)
        with open(f"{self.bed.base}/volumes/ro/file", "w") as file:
            file.write("from the host\n")
        self.docker("volume", "create", "named", check=True)
        done = self.run_in(
            "--network", "none", "--read-only", "--tmpfs", "/scratch:size=5m,mode=1750",
            "-v", "named:/named", "-v", f"{self.bed.base}/volumes/rw:/rw",
            "-v", f"{self.bed.base}/volumes/ro:/ro:ro", "--mount",
            "type=tmpfs,dst=/more,tmpfs-size=1048576", *self.shell(
                "touch /etc/x 2>/dev/null || echo root-is-read-only",
                "cat /ro/file; touch /ro/x 2>/dev/null || echo volume-is-read-only",
                "echo named > /named/n; echo written > /rw/w; echo s > /scratch/s && echo scratch",
                "stat -c %a /scratch; df -k /scratch /more | awk 'NR > 1 { print $2 }'"))
        self.assert_output(done, "root-is-read-only\nfrom the host\nvolume-is-read-only\nscratch\n"
                                 "1750\n5120\n1024\n")
        with open(f"{self.bed.base}/volumes/rw/w") as file:
            self.assertEqual(file.read(), "written\n")
        again = self.run_in("--network", "none", "-v", "named:/named:ro", "--", "cat", "/named/n")
        self.assert_output(again, "named\n")
        self.docker("volume", "rm", "named", check=True)

    def test_a_new_named_volume_takes_what_the_image_has_there(self):
        done = self.run_in("--network", "none", "-v", "filled:/etc", "--", "cat", "/etc/kata-e2e")
        self.assert_output(done, "made for tests\n")
        self.docker("volume", "rm", "filled", check=True)

    @core
    def test_the_container_is_as_its_options_say(self):
        done = self.run_in(
            "--network", "none", "--hostname", "guest-name", "--user", "1000:1000", "--group-add",
            "1500", "--workdir", "/home", "-e", "WORD=of mine", "--ulimit", "nofile=512:1024",
            "--memory", "96m", "--cpus", "0.8", "--pids-limit", "50", "--cpuset-cpus", "0",
            "--cap-drop", "ALL", "--cap-add", "CHOWN", "--shm-size", "16m", "--sysctl",
            "kernel.shmmni=222", "--security-opt", "no-new-privileges", "--label", "l=1", *self.shell(
                "hostname; id -u; id -G; pwd; echo $WORD; ulimit -n; ulimit -Hn",
                "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max cpuset.cpus 2>/dev/null",
                "grep -E 'CapBnd|NoNewPrivs' /proc/self/status | cut -f2",
                "df -k /dev/shm | awk 'NR > 1 { print $2 }'; cat /proc/sys/kernel/shmmni"))
        limits = f"{96 << 20}\n80000 100000\n50\n0\n" if self.runtime.is_vm else ""
        self.assert_output(done, "guest-name\n1000\n1000 1500\n/home\nof mine\n512\n1024\n"
                                 f"{limits}0000000000000001\n1\n16384\n222\n")

    def test_seccomp_is_docker_s_own_none_or_a_file(self):
        profile = f"{self.bed.base}/profile.json"
        with open(profile, "w") as file:
            json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}, file)
        script = self.shell("grep '^Seccomp:' /proc/self/status | cut -f2",
                            "mkdir /tmp/made 2>&1 && echo made; unshare -m true 2>&1 && echo unshared")
        default = self.run_in("--network", "none", "--cap-add", "SYS_ADMIN", *script)
        self.assertEqual(default.out, "2\nmade\nunshared\n", default)
        plain = self.run_in("--network", "none", *script)
        self.assertEqual(plain.out.splitlines()[:2], ["2", "made"], plain)
        self.assertNotIn("unshared", plain.out)
        ours = self.run_in("--network", "none", "--security-opt", f"seccomp={profile}", *script)
        self.assertIn("Operation not permitted", ours.out)
        self.assertNotIn("made\n", ours.out)
        none = self.run_in("--network", "none", "--security-opt", "seccomp=unconfined", *script)
        self.assertEqual(none.out.splitlines()[:2], ["0", "made"], none)

    def test_devices_that_are_named_are_there(self):
        done = self.run_in("--network", "none", "--device", "/dev/fuse:/dev/my-fuse:rw", *self.shell(
            "stat -c '%F %t:%T' /dev/my-fuse; : < /dev/my-fuse && echo opened"))
        self.assert_output(done, "character special file a:e5\nopened\n")

    def test_a_disk_that_is_named_is_there(self):
        script = self.shell("echo on-the-disk | dd of=/dev/disk conv=fsync 2>&1 | grep -i perm",
                            "head -c 11 /dev/disk")
        with loop_disk(f"{self.bed.base}/disk", 16 << 20) as disk:
            done = self.run_in("--network", "none", "--device", f"{disk}:/dev/disk:rw", *script)
            self.assert_output(done, "on-the-disk")
            refused = self.run_in("--network", "none", "--device", f"{disk}:/dev/disk:r", *self.shell(
                "head -c 11 /dev/disk; echo broken 2>/dev/null > /dev/disk || echo -refused"))
            self.assert_output(refused, "on-the-disk-refused\n")
        with open(f"{self.bed.base}/disk", "rb") as file:
            self.assertEqual(file.read(12), b"on-the-disk\n")

    @only("kata", "the host's root may lack capabilities, a guest's has all")
    def test_privileged_has_every_capability_and_no_disk_of_the_host(self):
        done = self.run_in("--network", "none", "--privileged", *self.shell(
            "grep -E 'CapEff|Seccomp:' /proc/self/status | cut -f2",
            "mount -t tmpfs t /mnt 2>/dev/null || mkdir /m && mount -t tmpfs t /m && echo mounted",
            "find /dev -type b"))
        self.assert_code(done, 0)
        lines = done.out.splitlines()
        self.assertEqual(int(lines[0], 16) & (1 << 21), 1 << 21, done)
        self.assertEqual(lines[1], "0")
        self.assertIn("mounted", lines)
        self.assertNotIn("/dev/", done.out)

    @core
    def test_the_default_network_is_made_and_unmade(self):
        links = self.links()
        self.run_detached(*self.shell("cat /etc/resolv.conf > /dev/null && echo ready",
                                      "exec sleep 1000000"))
        self.wait_logs("ready")
        self.assertRegex(self.inspect(".NetworkSettings.Networks.bridge.IPAddress"), r"^172\.")
        self.assertEqual(len(self.links()), len(links) + 1, "one more end of a veth pair")
        hosts = self.docker("exec", self.name, "cat", "/etc/hosts", "/etc/hostname", check=True).out
        self.assertIn(self.inspect(".Id")[:12], hosts)
        self.docker("rm", "--force", self.name, check=True)
        wait_until(lambda: self.links() == links, 30, lambda: f"{links} again; is {self.links()}")

    def links(self):
        lines = run(self.bed.entered("ip", "-o", "link"), 20).out.splitlines()
        return sorted(line.split(": ")[1].split("@")[0] for line in lines)

    @only("kata", "runc gives the host's network")
    def test_the_host_s_network_is_used(self):
        done = self.run_in("--network", "host", "--", "ip", "-o", "addr")
        self.assert_code(done, 0)
        for address in json.loads(run(self.bed.entered("ip", "-j", "-4", "addr"), 20).out):
            for each in address["addr_info"]:
                self.assertIn(f"inet {each['local']}/", done.out)

    @only("kata", "runc joins")
    def test_another_container_s_network_and_processes_are_shared_or_refused_clearly(self):
        self.run_detached("--network", "none", "--", "sh", "-c", "nc -l -p 5000 -e cat; sleep 1000000")
        other = f"container:{self.name}"
        processes = self.docker("run", "--rm", "--network", "none", "--pid", other, IMAGE, "ps")
        network = self.docker("run", "--rm", "--network", other, IMAGE, "sh", "-c",
                              "until echo said | nc -w 5 127.0.0.1 5000; do sleep 0.2; done")
        if self.door == COMMAND_LINE:
            # In one machine, as containers of a pod are.
            self.assertIn("nc -l -p 5000", processes.out, processes)
            self.assert_output(network, "said\n")
            return
        self.assert_code(processes, 125)
        self.assertIn("cannot be joined from a virtual machine", processes.err)
        self.assert_code(network, 125)
        self.assertIn("only containers of one pod share a network", network.err)

    @core
    def test_a_program_that_does_not_exist_is_named(self):
        done = self.run_in("--network", "none", "--", "no-such-program")
        self.assert_code(done, 127)
        self.assertIn("no-such-program", done.err)
        self.assertIn("executable file not found in $PATH", done.err)
        self.assert_clean()

    def test_removal_by_force_leaves_nothing_and_frees_the_name(self):
        for _ in range(2):
            self.run_detached("--network", "none", "--", "sleep", "1000000")
            self.docker("rm", "--force", self.name, check=True)
            self.assert_clean()

    def test_build_with_the_classic_builder(self):
        context = f"{self.bed.base}/context"
        os.makedirs(context, exist_ok=True)
        with open(f"{context}/copied", "w") as file:
            file.write("copied\n")
        with open(f"{context}/Dockerfile", "w") as file:
            file.write("\n".join([
                f"FROM {IMAGE}", "ARG WORD=argument", "ENV BUILT=yes", "COPY copied /etc/copied",
                "RUN uname -r > /etc/kernel && echo $WORD > /etc/word && chown 1000 /etc/word",
                "RUN test $(cat /etc/copied) = copied && rm /etc/kata-e2e", "WORKDIR /home",
                "USER 1000", "CMD [\"sh\", \"-c\", \"id -u; pwd; cat /etc/word; echo $BUILT; "
                "cat /etc/kernel; uname -r; ls /etc/kata-e2e\"]", ""]))
        self.docker("build", "--network", "none", "--tag", "kata/built", "--build-arg", "WORD=given",
                    context, check=True, timeout=400)
        done = self.docker("run", "--rm", "--network", "none", "kata/built")
        self.assertNotEqual(done.code, 0, "the removed file is back")
        lines = done.out.splitlines()
        self.assertEqual(lines[:4], ["1000", "/home", "given", "yes"], done)
        # The steps of the build ran where the container runs.
        self.assertEqual(lines[4], lines[5])
        if self.runtime.is_vm:
            self.assertNotEqual(lines[5], os.uname().release)
        self.docker("rmi", "kata/built", check=True)

    def test_a_failing_build_step_tells_its_code(self):
        done = self.docker("build", "--network", "none", "-", timeout=200,
                           stdin=f"FROM {IMAGE}\nRUN exit 33\n".encode())
        self.assertNotEqual(done.code, 0)
        self.assertIn("returned a non-zero code: 33", done.out + done.err)

    @only("kata", "runc leaves this to CRIU")
    def test_a_checkpoint_is_refused_and_the_container_goes_on(self):
        self.run_detached("--network", "none", "--", "sleep", "1000000")
        done = self.docker("checkpoint", "create", self.name, "first")
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, "(?i)checkpoint.*(not supported|not saved|unknown command)")
        self.assertEqual(self.inspect(".State.Status"), "running")
        self.assert_output(self.docker("exec", self.name, "echo", "alive"), "alive\n")

    def test_eight_at_once(self):
        def lives(number):
            name = self.bed.new_name("many")
            done = self.docker("run", "--name", name, "--network", "none", IMAGE, "sh", "-c",
                               f"echo {number}; exit {number}", timeout=500)
            self.assert_code(done, number)
            self.assertEqual(done.out, f"{number}\n")
        parallel([lambda number=number: lives(number) for number in range(1, 9)], 8)

    def test_fifty_lives_leave_nothing(self):
        def figures():
            daemons = [self.bed.containerd.pid, self.bed.dockerd.pid]
            return [len(os.listdir(f"/proc/{pid}/fd")) for pid in daemons]
        self.run_in("--network", "none", "--", "true", check=True)
        before = figures()
        for number in range(50):
            done = self.run_in(*self.shell(f"echo {number}"))
            self.assert_output(done, f"{number}\n")
        self.assert_clean()
        wait_until(lambda: all(now <= then + 5 for now, then in zip(figures(), before)), 30,
                   lambda: f"descriptors of the daemons: {before} before, {figures()} after")


class Restarts:
    """The daemons end and come back under running containers."""

    options = ("--live-restore",)

    def start_counter(self):
        self.run_detached("--network", "none", *self.shell(
            "trap 'exit 44' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done"))
        wait_until(lambda: self.count() > 3, 60, "output begins")

    def count(self):
        return len(self.logs().split())

    def check_counter_goes_on(self):
        self.assertEqual(self.inspect(".State.Status"), "running")
        at_restart = self.count()
        wait_until(lambda: self.count() > at_restart + 5, 60, "output goes on after the restart")
        self.assert_output(self.docker("exec", self.name, "echo", "hello"), "hello\n")
        self.docker("stop", "--time", "60", self.name, check=True)
        self.assertEqual(self.inspect(".State.ExitCode"), 44)
        numbers = [int(word) for word in self.logs().split()]
        self.assertEqual(numbers, list(range(len(numbers))), "no line lost or doubled")

    def test_a_container_lives_on_while_dockerd_restarts(self):
        self.start_counter()
        self.bed.dockerd.end()
        self.bed.start_dockerd()
        self.check_counter_goes_on()

    def test_a_container_lives_on_while_dockerd_is_killed(self):
        self.start_counter()
        self.bed.dockerd.end(9)
        self.bed.start_dockerd()
        self.check_counter_goes_on()

    def test_a_container_lives_on_while_containerd_restarts(self):
        self.start_counter()
        self.bed.containerd.end(9)
        self.bed.start_containerd()
        wait_until(lambda: self.docker("exec", self.name, "true").code == 0, 90,
                   "dockerd finds containerd again")
        self.check_counter_goes_on()

    def test_a_container_that_ended_meanwhile_is_found_ended(self):
        os.makedirs(f"{self.bed.base}/go", exist_ok=True)
        self.run_detached("--network", "none", "-v", f"{self.bed.base}/go:/go", *self.shell(
            "until test -e /go/now; do sleep 0.1; done; touch /go/done; exit 17"))
        self.bed.dockerd.end()
        with open(f"{self.bed.base}/go/now", "w"):
            pass
        wait_until(lambda: os.path.exists(f"{self.bed.base}/go/done"), 60, "the program ends")
        self.bed.start_dockerd()
        self.wait_state(".State.Status", "exited")
        self.assertEqual(self.inspect(".State.ExitCode"), 17)


class RunningByShim(Running, DockerCase):
    door = SHIM


class FreshByShim(Fresh, DockerCase):
    door = SHIM


class RestartsByShim(Restarts, DockerCase):
    door = SHIM


class RunningByCommandLine(Running, DockerCase):
    door = COMMAND_LINE

    # Not in the core subset: what it reads is a matter of the host's cgroups.
    def test_stats_are_the_container_s(self):
        super().test_stats_are_the_container_s()

    def check_memory(self, usage, limit):
        if not self.runtime.is_vm:
            return super().check_memory(usage, limit)
        # What the cgroup on the host has: the whole machine, whose limits hold inside of it.
        self.assertGreater(usage, 30_000_000)
        pid, box = self.inspect(".State.Pid", self.box), self.inspect(".Id", self.box)
        groups = run(["cat", f"/proc/{self.bed.outer_pid(pid)}/cgroup"], 20).out
        self.assertRegex(groups, rf"(?m):(memory)?:.*/{box}$")


class FreshByCommandLine(Fresh, DockerCase):
    door = COMMAND_LINE


class RestartsByCommandLine(Restarts, DockerCase):
    door = COMMAND_LINE
