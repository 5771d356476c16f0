# SPDX-License-Identifier: Apache-2.0
"""What ctr task can do with a running container: ls, ps, exec, kill, pause, resume, metrics, rm."""

import os
import re
import shutil
import signal

from support.case import ContainerdCase, Settings, core
from testbed.process import Terminal, parallel, wait_until


def read(path):
    with open(path) as file:
        return file.read()


class RunningContainer(ContainerdCase):
    """One container for the whole class."""

    @classmethod
    def set_up_bed(cls):
        cls.shared = "shared"
        cls.kept = ("shared",)
        cls.containerd.run_detached("shared", ["sleep", "100000"])

    @core
    def test_exec_runs_beside_the_first_process(self):
        done = self.containerd.exec(self.shared, self.shell("echo out; echo err >&2; exit 9"))
        self.assert_code(done, 9)
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))
        pids = self.containerd.exec(self.shared, ["ps", "-o", "pid,args"]).out
        self.assertRegex(pids, r"(?m)^ *1 sleep 100000$")

    @core
    def test_exec_with_a_terminal(self):
        terminal = Terminal(self.containerd.argv(
            *self.containerd.exec_arguments(self.shared, self.shell(
                "test -t 1 || exit 1", "until stty size | grep '^33 101'; do sleep 0.05; done",
                "until read word; do :; done; echo got-$word; exit 5"), "-t")),
            env=self.containerd.env, size=(33, 101))
        try:
            terminal.read_until(re.compile(rb"33 101\r+\n"), 20)
            terminal.write(b"x\n")
            terminal.read_until(re.compile(rb"got-x\r+\n"), 10)
            self.assertEqual(terminal.wait(20), 5)
        finally:
            terminal.close()

    def test_exec_with_a_terminal_passes_control_c_on(self):
        terminal = Terminal(self.containerd.argv(
            *self.containerd.exec_arguments(self.shared, self.shell(
                "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.1; done"),
                "-t")), env=self.containerd.env)
        try:
            terminal.read_until(re.compile(rb"ready"), 20)
            terminal.write(b"\x03")
            terminal.read_until(re.compile(rb"interrupted"), 10)
            self.assertEqual(terminal.wait(20), 6)
        finally:
            terminal.close()

    def test_every_exit_code_from_0_to_255_comes_back(self):
        def exits_with(code):
            done = self.containerd.exec(self.shared, self.shell(f"exit {code}"),
                                        exec_id=f"code-{code}", timeout=120)
            self.assert_code(done, code)
        parallel([lambda code=code: exits_with(code) for code in range(256)], 6)

    @core
    def test_an_exec_that_a_signal_ends_reports_128_and_its_number(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            with self.subTest(signal=number.name):
                done = self.containerd.exec(self.shared, self.shell(f"kill -{int(number)} $$"))
                self.assert_code(done, 128 + number)

    @core
    def test_a_hundred_execs_at_once_all_answer(self):
        def answers(number):
            done = self.containerd.exec(self.shared, ["echo", f"number-{number}"],
                                        exec_id=f"many-{number}", timeout=180)
            self.assert_output(done, f"number-{number}\n")
        parallel([lambda number=number: answers(number) for number in range(100)],
                 self.runtime.execs_at_once(Settings.series))
        self.assertEqual(self.containerd.status(self.shared), "RUNNING")

    def test_exec_takes_a_user_and_a_directory(self):
        done = self.containerd.exec(self.shared, self.shell("id -u; id -g; pwd"),
                                    "--user", "1000", "--cwd", "/tmp")
        self.assert_code(done, 0)
        uid, _, cwd = done.out.split()
        self.assertEqual((uid, cwd), ("1000", "/tmp"))

    @core
    def test_a_detached_exec_can_be_killed_by_its_id(self):
        self.containerd.exec(self.shared, ["sleep", "5000"], "-d", exec_id="background", check=True)
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", "-s", "KILL", "--exec-id", "background", self.shared,
                                check=True)
            exit_event = events.wait_for(self.shared, "/tasks/exit", id="background")
        self.assertEqual(exit_event["exit_status"], 137)
        self.assertEqual(self.containerd.status(self.shared), "RUNNING")

    @core
    def test_a_missing_executable_is_named_as_runc_names_it(self):
        done = self.containerd.exec(self.shared, ["no-such-program"], timeout=20)
        self.assertNotEqual(done.code, 0)
        self.assertIn("executable file not found in $PATH", done.err)
        self.assertIn("no-such-program", done.err)
        self.assert_code(self.containerd.exec(self.shared, ["true"]), 0)

    @core
    def test_a_second_exec_with_a_live_id_is_refused(self):
        self.containerd.exec(self.shared, ["sleep", "5000"], "-d", exec_id="twice", check=True)
        again = self.containerd.exec(self.shared, ["true"], exec_id="twice")
        self.assertNotEqual(again.code, 0)
        self.assertIn("already exists", again.err)
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", "-s", "KILL", "--exec-id", "twice", self.shared,
                                check=True)
            events.wait_for(self.shared, "/tasks/exit", id="twice")

    @core
    def test_ps_lists_every_process_of_the_container(self):
        def processes():
            lines = self.containerd.ctr("task", "ps", self.shared, check=True).out.splitlines()[1:]
            return [int(line.split()[0]) for line in lines]
        before = processes()
        self.assertTrue(before)
        self.containerd.exec(self.shared, ["sleep", "5000"], "-d", exec_id="seen", check=True)
        wait_until(lambda: len(processes()) == len(before) + 1, 10, "ps lists the exec")
        self.containerd.ctr("task", "kill", "-s", "KILL", "--exec-id", "seen", self.shared, check=True)
        wait_until(lambda: processes() == before, 10, "ps forgets the exec")

    @core
    def test_metrics_tell_memory_cpu_and_pids(self):
        metrics = self.containerd.metrics(self.shared)
        memory = metrics["memory"]
        usage = memory["usage"]["usage"] if isinstance(memory["usage"], dict) else memory["usage"]
        self.assertGreater(int(usage), 50_000)
        self.assertGreaterEqual(int(metrics["pids"]["current"]), 1)
        cpu = metrics["cpu"]
        def used(cpu):
            return int(cpu["usage"]["total"] if "usage" in cpu else cpu["usage_usec"])
        first = used(cpu)
        self.containerd.exec(self.shared, self.shell(
            "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), check=True)
        self.assertGreater(used(self.containerd.metrics(self.shared)["cpu"]), first)

    @core
    def test_a_paused_container_stands_still_until_it_is_resumed(self):
        # Both count for the host to see; the one that is not paused tells that time has passed.
        folder = f"{self.containerd.base}/ticks"
        os.mkdir(folder)
        self.addCleanup(shutil.rmtree, folder)
        mount = ("--mount", f"type=bind,src={folder},dst=/ticks,options=rbind:rw")
        def count(name):
            return self.shell(f"while :; do echo x >> /ticks/{name}; sleep 0.05; done")
        def ticks(name):
            path = f"{folder}/{name}"
            return os.path.getsize(path) if os.path.exists(path) else 0
        paused, other = self.name, f"{self.name}-other"
        for name in (paused, other):
            self.containerd.run_detached(name, count(name), *mount)
            wait_until(lambda: ticks(name) > 2, 60, f"the counter of {name} runs")
        self.containerd.ctr("task", "pause", paused, check=True)
        self.assertEqual(self.containerd.status(paused), "PAUSED")
        before, others = ticks(paused), ticks(other)
        wait_until(lambda: ticks(other) > others + 20, 60, "the other counter goes on")
        self.assertEqual(ticks(paused), before)
        self.containerd.ctr("task", "resume", paused, check=True)
        self.assertEqual(self.containerd.status(paused), "RUNNING")
        wait_until(lambda: ticks(paused) > before, 60, "the counter runs again")

    @core
    def test_a_running_task_is_not_deleted_without_force(self):
        done = self.containerd.ctr("task", "delete", self.shared)
        self.assertNotEqual(done.code, 0)
        self.assertEqual(self.containerd.status(self.shared), "RUNNING")


class Signals(ContainerdCase):
    # Not caught: KILL and STOP cannot be, CHLD comes by itself, 32 and 33 belong to the C library.
    NUMBERS = [n for n in range(1, 65) if n not in (9, 17, 19, 32, 33)]

    @core
    def test_each_signal_reaches_the_first_process(self):
        log = f"{self.containerd.base}/signals.log"
        self.containerd.run_detached(self.name, self.shell(
            f"for n in {' '.join(map(str, self.NUMBERS))}; do trap \"echo got-$n\" $n; done",
            "echo ready; while :; do sleep 0.05; done"), "--log-uri", f"file://{log}")
        def lines():
            return read(log).split()
        wait_until(lambda: "ready" in lines(), 20, "the traps are set")
        for number in self.NUMBERS:
            self.containerd.ctr("task", "kill", "-s", number, self.name, check=True)
            # One by one: a pending CONT is lost when TSTP arrives, and the other way round.
            wait_until(lambda: f"got-{number}" in lines(), 10, lambda: f"{number} in {lines()}")
        self.assertEqual(lines(), ["ready", *(f"got-{n}" for n in self.NUMBERS)])

    @core
    def test_the_default_signal_is_term(self):
        log = f"{self.containerd.base}/term.log"
        self.containerd.run_detached(self.name, self.shell(
            "trap 'exit 21' TERM; echo ready; while :; do sleep 0.05; done"),
            "--log-uri", f"file://{log}")
        wait_until(lambda: "ready" in read(log), 20, "the trap is set")
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", self.name, check=True)
            self.assertEqual(events.wait_for(self.name, "/tasks/exit")["exit_status"], 21)

    @core
    def test_kill_all_ends_every_process(self):
        self.containerd.run_detached(self.name, self.shell(
            "trap : TERM USR1; sleep 1000 & sleep 1000 & while :; do sleep 0.1; done"))
        self.containerd.exec(self.name, ["sleep", "2000"], "-d", exec_id="more", check=True)
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", "--all", "-s", "KILL", self.name, check=True)
            self.assertEqual(events.wait_for(self.name, "/tasks/exit", id="more")["exit_status"], 137)
            self.assertEqual(events.wait_for(self.name, "/tasks/exit", id=self.name)["exit_status"],
                             137)
        self.wait_status(self.name, "STOPPED")

    @core
    def test_processes_that_outlive_the_first_end_with_it(self):
        self.containerd.run_detached(self.name, self.shell("sleep 1000 & sleep 0.3; exit 4"))
        self.wait_status(self.name, "STOPPED")
        self.assertTrue(self.containerd.remove(self.name))
        self.assert_clean()

    def test_killing_a_stopped_task_says_that_it_is_not_found_or_finished(self):
        self.containerd.run_detached(self.name, ["true"])
        self.wait_status(self.name, "STOPPED")
        done = self.containerd.ctr("task", "kill", "-s", "KILL", self.name)
        self.assertTrue(done.code == 0 or re.search("already finished|not found", done.err), done)
