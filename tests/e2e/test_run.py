# SPDX-License-Identifier: Apache-2.0
"""ctr run: foreground, detached, --rm, -t; exit codes; what is left in containerd."""

import os
import re

from support.case import ContainerdCase, core
from testbed.process import Terminal, parallel


class Run(ContainerdCase):
    @core
    def test_prints_the_programs_output_and_removes_everything_with_rm(self):
        done = self.containerd.run(self.name, ["echo", "hello"], "--rm")
        self.assert_output(done, "hello\n")
        self.assertEqual(self.containerd.containers(), [])
        self.assertNotIn(self.name, self.containerd.snapshots())
        self.assert_clean()

    @core
    def test_the_kernel_is_the_guests_own(self):
        done = self.containerd.run(self.name, ["uname", "-r"], "--rm")
        self.assert_code(done, 0)
        release = done.out.strip()
        if self.runtime.is_vm:
            self.assertNotEqual(release, os.uname().release)
        else:
            self.assertEqual(release, os.uname().release)

    @core
    def test_a_detached_container_runs_on_and_is_listed_until_it_is_deleted(self):
        self.containerd.run_detached(self.name, ["sleep", "1000"])
        pid, status = self.containerd.tasks()[self.name]
        self.assertEqual(status, "RUNNING")
        self.assertTrue(os.path.exists(f"/proc/{pid}"), "the task's pid is a process of the host")
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status(self.name, "STOPPED")
        deleted = self.containerd.ctr("task", "delete", self.name)
        self.assert_code(deleted, 0)
        self.assertIn("137", deleted.err, "ctr warns of the exit code")
        self.assertNotIn(self.name, self.containerd.tasks())
        self.assertIn(self.name, self.containerd.snapshots())
        self.containerd.ctr("container", "rm", self.name, check=True)
        self.assertNotIn(self.name, self.containerd.snapshots())
        self.assert_clean()

    @core
    def test_what_the_last_program_left_in_a_mapping_is_on_the_host(self):
        program, path = self.compiled("mapped"), f"{self.containerd.base}/{self.name}.mapped"
        with open(path, "w"):
            pass
        for text in ("one", "x" * 10000):
            self.assert_code(self.containerd.run(
                self.containerd.new_id(), ["/mapped", "/file", text], "--rm",
                "--mount", f"type=bind,src={program},dst=/mapped,options=rbind:ro",
                "--mount", f"type=bind,src={path},dst=/file,options=rbind:rw"), 0)
            with open(path) as file:
                self.assertEqual(file.read(), text)

    def test_a_container_can_be_started_again_after_its_task_was_deleted(self):
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image,
                            self.name, "script", "echo x >> /count; cat /count", check=True)
        self.assert_output(self.containerd.ctr("task", "start", self.name), "x\n")
        self.assert_output(self.containerd.ctr("task", "start", self.name), "x\nx\n")

    @core
    def test_a_terminal_is_one_echoes_and_follows_ctrs_size(self):
        terminal = Terminal(self.containerd.argv(*self.containerd.run_arguments(
            self.name, self.shell(
                "test -t 0 && test -t 1 && test -t 2 && echo is-a-tty", "until read line; do :; done",
                "trap 'stty size' WINCH; echo got-$line; while :; do sleep 0.1; done"),
                "--rm", "-t")),
            env=self.containerd.env)
        try:
            terminal.read_until(re.compile(rb"is-a-tty"), 30)
            terminal.write(b"word\n")
            terminal.read_until(re.compile(rb"word\r+\n.*got-word\r+\n", re.S), 10)
            terminal.resize(31, 97)
            terminal.read_until(re.compile(rb"31 97"), 10)
            self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
            self.assertEqual(terminal.wait(20), 137)
        finally:
            terminal.close()

    @core
    def test_exit_codes_of_the_container_become_ctrs(self):
        def exits_with(code):
            name = f"{self.name}-{code}"
            done = self.containerd.run(name, self.shell(f"exit {code}"), "--rm")
            self.assert_code(done, code)
        parallel([lambda code=code: exits_with(code) for code in (0, 1, 126, 255)], 2)

    @core
    def test_a_container_that_a_signal_ends_reports_128_and_its_number(self):
        # PID 1 of a PID namespace cannot kill itself; it can die of what it inherits from a child.
        done = self.containerd.run(self.name, self.shell(
            "sh -c 'kill -TERM $$'; exit $?"), "--rm")
        self.assert_code(done, 143)
        name = self.name + "-killed"
        self.containerd.run_detached(name, ["sleep", "1000"])
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", "-s", "KILL", name, check=True)
            self.assertEqual(events.wait_for(name, "/tasks/exit")["exit_status"], 137)

    @core
    def test_an_id_of_76_characters_works(self):
        name = "x" * 76
        self.assert_output(self.containerd.run(name, ["echo", "ok"], "--rm"), "ok\n")
        self.assert_clean()

    def test_the_root_file_system_is_the_images_and_writable(self):
        done = self.containerd.run(self.name, self.shell(
            "cat /etc/kata-e2e; echo new > /etc/kata-e2e; mkdir -p /a/b; ln -s b /a/c; "
            "mv /a/b /a/d; chmod 4711 /a/d; chown 1000:1500 /a/d; stat -c '%a %u %g' /a/d; "
            "cat /etc/kata-e2e"), "--rm")
        self.assert_output(done, "made for tests\n4711 1000 1500\nnew\n")

    def test_a_thousand_files_made_and_removed_keep_their_content(self):
        done = self.containerd.run(self.name, self.shell(
            "mkdir /many; cd /many; i=0; while [ $i -lt 1000 ]; do echo $i > f$i; i=$((i+1)); done",
            "ls | wc -l; cat f* | md5sum; rm -r /many; test -e /many || echo gone"), "--rm")
        self.assert_code(done, 0)
        lines = done.out.split("\n")
        self.assertEqual([lines[0], lines[2]], ["1000", "gone"], done)


class ManyAtOnce(ContainerdCase):
    def test_twenty_containers_run_at_the_same_time(self):
        names = [f"{self.name}-{i}" for i in range(20)]
        parallel([lambda name=name: self.containerd.run_detached(
            name, self.shell(f"echo {name} > /me; sleep 1000"), timeout=240)
            for name in names], 4)
        tasks = self.containerd.tasks()
        self.assertEqual({tasks[name][1] for name in names}, {"RUNNING"})
        def answers(name):
            self.assert_output(self.containerd.exec(name, ["cat", "/me"], timeout=120), f"{name}\n")
        parallel([lambda name=name: answers(name) for name in names], 4)
        parallel([lambda name=name: self.containerd.remove(name) for name in names], 4)
        self.assertEqual(self.containerd.tasks(), {})
        self.assert_clean(seconds=20)
