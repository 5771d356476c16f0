# SPDX-License-Identifier: Apache-2.0
"""What goes into containers of pods and comes out of them: exec, attach, logs."""

import os
import re
import select

from support.cri_case import CriCase
from testbed.process import Terminal, wait_until


class Streams:
    def test_exec_waits_for_a_program_and_has_its_exit_code(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sleep", "1000"])
        done = self.crictl("exec", "-s", container, "sh", "-c", "echo out; echo wrong >&2")
        # crictl prints both.
        self.assertEqual((done.code, done.out.split()), (0, ["out", "wrong"]), done)
        done = self.crictl("exec", "-s", container, "sh", "-c", "exit 3")
        self.assertNotEqual(done.code, 0)
        self.assertIn("exited with 3", done.err)
        slow = self.crictl("exec", "-s", "--timeout", "2", container, "sleep", "1000")
        self.assertNotEqual(slow.code, 0)
        self.assertIn("deadline exceeded", slow.err.lower() + slow.out.lower())
        wait_until(lambda: "sleep 1000" in self.exec(container, "ps", "-o", "args"), 10, "the container lives")

    def test_exec_carries_what_is_said_both_ways(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sleep", "1000"])
        said = os.urandom(1 << 20)
        child = self.begin("exec", "-i", container, "cat")
        out, _ = child.communicate(said, timeout=120)
        self.assertEqual(out, said)
        self.assertEqual(child.returncode, 0)

    def test_exec_on_a_terminal(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sleep", "1000"])
        terminal = Terminal(self.crictl_argv("exec", "-it", container, "sh"), env=self.containerd.env,
                            size=(40, 100))
        self.addCleanup(terminal.close)
        terminal.write(b"stty size; test -t 0 && echo is-$((40+2))\n")
        terminal.read_until(re.compile(rb"40 100\s+is-42"), 60)
        terminal.write(b"exit 7\n")
        self.assertNotEqual(terminal.wait(30), 0)

    def test_attach_joins_a_running_program(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sh", "-c", "while read x; do echo \"heard $x\"; done"],
                               stdin=True, stdin_once=False)
        child = self.begin("attach", "-i", container)
        child.stdin.write(b"one\ntwo\n")
        child.stdin.flush()
        heard = b""
        while heard.count(b"heard") < 2:
            self.assertTrue(select.select([child.stdout], [], [], 60)[0], f"nothing more than {heard}")
            heard += os.read(child.stdout.fileno(), 4096)
        self.assertEqual(heard.split(), [b"heard", b"one", b"heard", b"two"])
        self.assertEqual(self.status(container)["state"], "CONTAINER_RUNNING")

    def test_logs_have_both_streams_and_are_followed(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sh", "-c", "echo first; echo wrong >&2; sleep 2; echo last"])
        follower = self.begin("logs", "-f", container)
        self.wait_end(container)
        out, _ = follower.communicate(timeout=60)
        self.assertEqual(sorted(out.split()), [b"first", b"last", b"wrong"])
        self.assertEqual(self.ask("logs", "--tail", "1", container).split(), ["last"])
        with open(f"{self.containerd.base}/logs-{self.name}/app.log") as file:
            streams = {line.split(" ", 3)[3].strip(): line.split()[1] for line in file}
        self.assertEqual(streams, {"first": "stdout", "wrong": "stderr", "last": "stdout"})

    def test_a_log_is_opened_anew(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sh", "-c", "while :; do echo line; sleep 0.2; done"])
        log = f"{self.containerd.base}/logs-{self.name}/app.log"
        wait_until(lambda: os.path.getsize(log), 30, "the log has something")
        os.rename(log, f"{log}.1")
        self.ask("logs", "-r", container)
        wait_until(lambda: os.path.exists(log) and os.path.getsize(log), 30, "the new log has something")
        self.assertIn("line", self.ask("logs", "--tail", "1", container))


class StreamsOfSandboxApi(Streams, CriCase):
    sandboxer = "shim"


class StreamsWithPause(Streams, CriCase):
    sandboxer = "podsandbox"
