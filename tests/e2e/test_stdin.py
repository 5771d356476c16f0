# SPDX-License-Identifier: Apache-2.0
"""Standard input that nobody gives, or that ends early, through every front end and for execs.

The same tables hold with runc: `--runtime runc`.
"""

import contextlib
import json
import os
import subprocess

from support import grpc
from support.case import ContainerdCase, core, only
from support.docker_case import DockerCase
from support.oci import OciCase
from support.podman_case import IMAGE as PODMAN_IMAGE
from support.podman_case import PodmanCase
from testbed.containerd import Lines
from testbed.docker import COMMAND_LINE, IMAGE, SHIM
from testbed.process import wait_until

# Reads to the end and then says what it has read from.
SCRIPT = "cat; echo end of $(readlink /proc/self/fd/0 | cut -d: -f1)"
NOTHING, PIPE = "end of /dev/null\n", "end of pipe\n"


def output(child, seconds=120):
    """What a program says that ends although its own standard input stays open."""
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"no end within {seconds} s: {child.args}") from None
    out, err = child.stdout.read().decode(), child.stderr.read().decode()
    if code != 0:
        raise AssertionError(f"exit code {code}: {child.args}\n{out}\n{err}")
    return out


def read(path):
    with open(path) as file:
        return file.read()


class ByContainerd(ContainerdCase):
    """By containerd's API, as its clients give standard input, and by ctr."""

    @classmethod
    def set_up_bed(cls):
        cls.shared = cls.containerd.new_id("shared")
        cls.containerd.run_detached(cls.shared, ["sleep", "100000"])
        cls.kept = (cls.shared,)

    def make(self, stdin=("", "")):
        """Two processes that are not started, the first of a container and one more in the shared
        one: [(container, exec id, file of the output)]. `stdin` is what each of them is given."""
        base = f"{self.containerd.base}/{self.name}"
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image,
                            self.name, "script", SCRIPT, check=True)
        grpc.create_task(self.containerd, self.name, stdin=stdin[0], stdout=f"file://{base}.run",
                         stderr=f"file://{base}.run")
        grpc.exec_process(self.containerd, self.shared, f"e-{self.name}", json.dumps({
            "args": ["sh", "-c", SCRIPT], "cwd": "/", "user": {"uid": 0, "gid": 0},
            "env": ["PATH=/bin"]}), stdin=stdin[1], stdout=f"file://{base}.exec",
            stderr=f"file://{base}.exec")
        return [(self.name, "", f"{base}.run"), (self.shared, f"e-{self.name}", f"{base}.exec")]

    def assert_ends(self, file, text):
        wait_until(lambda: read(file) != "", 60, f"end of the process that writes {file}")
        self.assertEqual(read(file), text)

    @contextlib.contextmanager
    def fifos(self):
        paths = [f"{self.containerd.base}/{self.name}.{number}" for number in range(2)]
        for path in paths:
            os.mkfifo(path)
        try:
            yield paths
        finally:
            for path in paths:
                os.unlink(path)

    @core
    def test_no_path(self):
        for container, exec_id, file in self.make():
            grpc.start_task(self.containerd, container, exec_id)
            self.assert_ends(file, NOTHING)

    @core
    def test_a_fifo_without_a_writer_lasts_until_it_is_closed(self):
        with self.fifos() as paths:
            made = self.make(paths)
            for container, exec_id, file in made:
                grpc.start_task(self.containerd, container, exec_id)
            # What has begun later, in the same guests, and ends by itself has ended.
            for container, _, _ in made:
                self.assert_output(self.containerd.exec(container, ["sh", "-c", f"({SCRIPT}) < /dev/null"]), NOTHING)
            self.assertEqual([read(file) for _, _, file in made], ["", ""])
            for container, exec_id, file in made:
                grpc.close_stdin(self.containerd, container, exec_id)
                self.assert_ends(file, PIPE)

    @core
    @only("kata", "runc's shim does not end an exec's")
    def test_a_fifo_that_is_closed_before_the_start(self):
        with self.fifos() as paths:
            for container, exec_id, file in self.make(paths):
                grpc.close_stdin(self.containerd, container, exec_id)
                grpc.start_task(self.containerd, container, exec_id)
                self.assert_ends(file, PIPE)

    @core
    def test_ctr_without_streams(self):
        self.containerd.run(self.name, ["script", "cat; exit 7"], "-d", "--null-io", check=True)
        self.wait_status(self.name, "STOPPED", 60)
        self.assertEqual(grpc.delete_task(self.containerd, self.name)[0], 7)
        log = f"{self.containerd.base}/{self.name}.log"
        self.containerd.ctr("task", "exec", "-d", "--exec-id", f"e-{self.name}", "--log-uri",
                            f"file://{log}", self.shared, "sh", "-c", SCRIPT, check=True)
        self.assert_ends(log, NOTHING)


class Docker:
    """Each in the shared container as well."""

    @classmethod
    def set_up_bed(cls):
        cls.kept = ("box",)
        cls.bed.docker("run", "-d", "--name", "box", "--network", "none", IMAGE, "sleep", "1000000",
                       check=True)

    def both(self, *flags):
        """The arguments of a run and of an exec of SCRIPT."""
        return [["run", "--rm", "--network", "none", *flags, IMAGE, "sh", "-c", SCRIPT],
                ["exec", *flags, "box", "sh", "-c", SCRIPT]]

    @core
    def test_without_i(self):
        for arguments in self.both():
            with self.subTest(arguments[0]), self.background(
                    self.bed.popen(*arguments, stdin=subprocess.PIPE)) as child:
                self.assertEqual(output(child), NOTHING)

    @core
    def test_detached(self):
        self.run_detached("--network", "none", "--", "sh", "-c", SCRIPT)
        self.wait_state(".State.Status", "exited")
        self.assertEqual(self.logs(), NOTHING)
        self.docker("start", self.name, check=True)
        wait_until(lambda: self.logs() == NOTHING * 2, 60, self.logs)
        self.docker("exec", "-d", "box", "sh", "-c", f"({SCRIPT}) > /said.new; mv /said.new /said",
                    check=True)
        wait_until(lambda: self.docker("exec", "box", "test", "-e", "/said").code == 0, 60,
                   "end of the detached exec")
        self.assert_output(self.docker("exec", "box", "cat", "/said"), NOTHING)

    @core
    def test_with_i_and_an_end_at_once(self):
        for arguments in self.both("-i"):
            with self.subTest(arguments[0]):
                self.assert_output(self.docker(*arguments, stdin=b""), PIPE)

    def test_with_i_and_dev_null(self):
        for arguments in self.both("-i"):
            with self.subTest(arguments[0]), self.background(
                    self.bed.popen(*arguments, stdin=subprocess.DEVNULL)) as child:
                self.assertEqual(output(child), PIPE)

    def test_run_attached_to_the_output_alone(self):
        with self.background(self.bed.popen(*self.run_arguments(
                "--rm", "-a", "stdout", "--network", "none", "--", "sh", "-c", SCRIPT),
                stdin=subprocess.PIPE)) as child:
            self.assertEqual(output(child), NOTHING)

    def test_with_i_and_a_client_that_is_killed(self):
        with self.background(self.bed.popen(*self.run_arguments(
                "-i", "--network", "none", "--", "sh", "-c", f"echo ready; {SCRIPT}"),
                stdin=subprocess.PIPE)) as child:
            Lines(child.stdout).wait_for("ready\n", 60)
            child.kill()
            child.wait()
            self.wait_state(".State.Status", "exited")
        self.assertEqual(self.logs(), f"ready\n{PIPE}")

    def test_detached_with_i_or_t_waits_for_who_attaches(self):
        for flags in ("-i", "-t"):
            name = f"{self.name}{flags}"
            self.docker("run", "-d", flags, "--name", name, "--network", "none", IMAGE, "sh", "-c",
                        "echo ready; cat; echo end", check=True)
            self.wait_logs("ready", name=name)
            # What has begun later, in the same guest, and ends by itself has ended.
            self.assert_output(self.docker("exec", name, "sh", "-c", SCRIPT), NOTHING)
            self.assertNotIn("end", self.logs(name))
        with self.background(self.bed.popen("attach", f"{self.name}-i",
                                            stdin=subprocess.PIPE)) as child:
            lines = Lines(child.stdout)
            child.stdin.write(b"word\n")
            child.stdin.flush()
            lines.wait_for("word\n", 60)


class DockerByShim(Docker, DockerCase):
    door = SHIM


class DockerByCommandLine(Docker, DockerCase):
    door = COMMAND_LINE


class ByPodman(PodmanCase):
    @classmethod
    def set_up_bed(cls):
        cls.kept = ("box",)
        cls.out("run", "-d", "--name", "box", "--network", "none", PODMAN_IMAGE, "sleep", "1000000")

    def both(self, *flags):
        return [["run", "--rm", "--network", "none", *flags, PODMAN_IMAGE, "sh", "-c", SCRIPT],
                ["exec", *flags, "box", "sh", "-c", SCRIPT]]

    def popen(self, *arguments, stdin):
        return subprocess.Popen([self.engine.program, *arguments], stdin=stdin,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_without_i(self):
        for arguments in self.both():
            with self.subTest(arguments[0]), self.background(
                    self.popen(*arguments, stdin=subprocess.PIPE)) as child:
                self.assertEqual(output(child), NOTHING)

    def test_detached(self):
        self.start("sh", "-c", SCRIPT)
        self.assertEqual(self.out("wait", self.name).strip(), "0")
        self.assertEqual(self.out("logs", self.name), NOTHING)
        self.out("exec", "-d", "box", "sh", "-c", f"({SCRIPT}) > /said.new; mv /said.new /said")
        wait_until(lambda: self.podman("exec", "box", "test", "-e", "/said").code == 0, 60,
                   "end of the detached exec")
        self.assertEqual(self.out("exec", "box", "cat", "/said"), NOTHING)

    def test_with_i_and_an_end_at_once(self):
        for arguments in self.both("-i"):
            with self.subTest(arguments[0]):
                self.assertEqual(self.out(*arguments, stdin=b""), PIPE)

    def test_with_i_and_dev_null(self):
        for arguments in self.both("-i"):
            with self.subTest(arguments[0]), self.background(
                    self.popen(*arguments, stdin=subprocess.DEVNULL)) as child:
                self.assertEqual(output(child), PIPE)


class ByCommandLine(OciCase):
    """The command gives the process its own standard input."""

    box = None

    def setUp(self):
        super().setUp()
        shared = type(self)
        if shared.box is None:
            self.run_detached("sleep", "100000")
            shared.box, shared.kept = self.name, (self.name,)
            super().setUp()

    def assert_both(self, stdin, before=(), text="end of (pipe|/dev/null)\n"):
        """What a run and an exec say; `before` stands in front of the command."""
        for arguments in (["run", "--bundle", self.bundle("sh", "-c", SCRIPT), self.name],
                          ["exec", self.box, "sh", "-c", SCRIPT]):
            with self.subTest(arguments[0]), self.background(subprocess.Popen(
                    [*before, *self.argv(*arguments)], env=self.env, stdin=stdin,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as child:
                self.assertRegex(output(child), f"^{text}$")

    def test_dev_null(self):
        self.assert_both(subprocess.DEVNULL)

    def test_dev_null_where_the_command_does_not_wait(self):
        path = f"{self.base}/said"
        for arguments in (["run", "--detach", "--bundle", self.bundle("sh", "-c", SCRIPT), self.name],
                          ["exec", "--detach", self.box, "sh", "-c", SCRIPT]):
            with self.subTest(arguments[0]), open(path, "wb") as file:
                self.assertEqual(self.popen(*arguments, stdout=file, stderr=file).wait(60), 0)
                wait_until(lambda: read(path), 60, "end of the process")
                self.assertEqual(read(path), NOTHING)

    def test_a_pipe_whose_writer_has_gone(self):
        ours, theirs = os.pipe()
        os.close(theirs)
        try:
            self.assert_both(ours, text=PIPE)
        finally:
            os.close(ours)

    def test_none(self):
        self.assert_both(subprocess.DEVNULL, ["sh", "-c", 'exec "$@" <&-', "sh"])

    def test_a_fifo_without_a_writer(self):
        path = f"{self.base}/fifo"
        os.mkfifo(path)
        fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            for arguments in (["run", "--bundle", self.bundle("sh", "-c", "cat; echo end"), self.name],
                              ["exec", self.box, "sh", "-c", "cat; echo end"]):
                with self.subTest(arguments[0]), self.background(
                        self.popen(*arguments, stdin=fifo)) as child:
                    self.assertEqual(output(child), "end\n")
        finally:
            os.close(fifo)
            os.unlink(path)
