# SPDX-License-Identifier: Apache-2.0
"""Why a process could not be made: runc's words and exit codes, through every front end.

The same tables hold with runc: `--runtime runc`.
"""

import os

from support.case import ContainerdCase, Settings, core
from support.docker_case import DockerCase
from support.oci import OciCase
from support.podman_case import IMAGE as PODMAN_IMAGE
from support.podman_case import PodmanCase
from testbed.docker import COMMAND_LINE, IMAGE, SHIM

CANNOT = "unable to start container process: "
CREATE = f"OCI runtime create failed: runc create failed: {CANNOT}"
EXEC = f"OCI runtime exec failed: exec failed: {CANNOT}"

# The command, the reason, and the exit codes of docker run, of docker exec since 27, of podman run and
# of podman exec. Docker before 27 knows 126 alone for an exec.
PROGRAMS = [
    ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH',
     127, 127, 127, 127),
    ("/no/such/program", 'exec: "/no/such/program": stat /no/such/program: no such file or directory',
     127, 127, 127, 127),
    ("/words/plain", 'exec: "/words/plain": permission denied', 126, 126, 126, 126),
    ("/etc/passwd/below", 'exec: "/etc/passwd/below": stat /etc/passwd/below: not a directory',
     125, 127, 126, 255),
    ("", 'exec: "": executable file not found in $PATH', 127, 127, 127, 127),
]
# Go has said more of it since 1.20.
DIRECTORY = ("/etc", 'exec: "/etc": ', 126, 126, 126, 126)
# Working directories, for execs alone: engines make those of a run. Docker since 27, Podman.
DIRECTORIES = [
    ("/no/such/folder", 'chdir to cwd ("/no/such/folder") set in config.json failed: '
     'no such file or directory', 127, 127),
    ("/etc/passwd", 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory',
     127, 255),
]
# What is found and cannot be executed is told by the process itself, whose exit code is 1.
LATE = [
    ("/words/interpreter", "exec /words/interpreter: no such file or directory\n"),
    ("/words/format", "exec /words/format: exec format error\n"),
]


def write_programs(folder):
    os.mkdir(folder)
    for name, text, mode in (("interpreter", "#!/no/such/interpreter\n", 0o755),
                             ("format", "no program\n", 0o755), ("plain", "no program\n", 0o644)):
        with open(f"{folder}/{name}", "w") as file:
            file.write(text)
        os.chmod(f"{folder}/{name}", mode)
    return folder


class Refusals:
    """assert_refused, in front of what the front ends have in common."""

    def assert_refused(self, done, words, code):
        with self.subTest(" ".join(map(str, done.argv[-6:]))):
            self.assertEqual(done.code, code, done)
            self.assertIn(words, done.out + done.err)

    def assert_late(self, done, text):
        self.assert_refused(done, text, 1)
        self.assertEqual(done.err, text, done)


class ByContainerd(Refusals, ContainerdCase):
    @classmethod
    def set_up_bed(cls):
        cls.mount = ["--mount", f"type=bind,src={write_programs(f'{cls.containerd.base}/words')},"
                     "dst=/words,options=rbind:rw"]
        cls.shared = cls.containerd.new_id("shared")
        cls.containerd.run_detached(cls.shared, ["sleep", "100000"], *cls.mount)
        cls.kept = (cls.shared,)

    def run_here(self, command):
        name = self.containerd.new_id()
        try:
            return self.containerd.run(name, [command], "--rm", *self.mount)
        finally:
            self.containerd.remove(name)

    @core
    def test_programs_and_working_directories(self):
        for command, reason, *_ in [*PROGRAMS, DIRECTORY]:
            self.assert_refused(self.run_here(command), CREATE + reason, 1)
            self.assert_refused(self.containerd.exec(self.shared, [command]), EXEC + reason, 1)
        for folder, reason, *_ in DIRECTORIES:
            self.assert_refused(self.containerd.exec(self.shared, ["true"], "--cwd", folder),
                                EXEC + reason, 1)

    @core
    def test_no_word_of_containerd_s_behind_it(self):
        done = self.containerd.exec(self.shared, ["no-such-program"])
        end = "" if Settings.series.startswith("2.") else ": unknown"
        self.assertEqual(done.err, f"ctr: {EXEC}{PROGRAMS[0][1]}{end}\n")

    @core
    def test_programs_that_cannot_be_executed(self):
        for command, text in LATE:
            self.assert_late(self.run_here(command), text)
            self.assert_late(self.containerd.exec(self.shared, [command]), text)

    @core
    def test_containers_that_take_no_process(self):
        self.containerd.run_detached(self.name, ["sleep", "100000"])
        self.containerd.ctr("task", "pause", self.name, check=True)
        self.assert_refused(self.containerd.exec(self.name, ["true"]),
                            "cannot exec in a paused state", 1)
        self.containerd.ctr("task", "resume", self.name, check=True)
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status(self.name, "STOPPED")
        self.assert_refused(self.containerd.exec(self.name, ["true"]),
                            "cannot exec in a stopped state", 1)


class Docker(Refusals):
    @classmethod
    def set_up_bed(cls):
        cls.options_of_run = ["--network", "none", "-v",
                              f"{write_programs(f'{cls.bed.base}/words')}:/words"]
        cls.kept = ("box",)
        cls.bed.docker("run", "-d", "--name", "box", *cls.options_of_run, IMAGE, "sleep", "1000000",
                       check=True)

    def code_of_exec(self, code):
        return code if self.series == "28.5" else 126

    def run_here(self, command, *flags):
        return self.docker("run", "--rm", *self.options_of_run, *flags, IMAGE, command)

    @core
    def test_programs_and_working_directories(self):
        for command, reason, of_run, of_exec, *_ in [*PROGRAMS, DIRECTORY]:
            self.assert_refused(self.run_here(command), CREATE + reason, of_run)
            self.assert_refused(self.docker("exec", "box", command), EXEC + reason,
                                self.code_of_exec(of_exec))
            self.assert_refused(self.docker("exec", "-d", "box", command), EXEC + reason, 1)
        for folder, reason, of_exec, _ in DIRECTORIES:
            self.assert_refused(self.docker("exec", "-w", folder, "box", "true"), EXEC + reason,
                                self.code_of_exec(of_exec))

    @core
    def test_no_word_of_containerd_s_behind_it(self):
        done = self.docker("exec", "-d", "box", "no-such-program")
        end = "" if self.series == "28.5" else ": unknown"
        self.assertEqual(done.err, f"Error response from daemon: {EXEC}{PROGRAMS[0][1]}{end}\n")

    @core
    def test_programs_that_cannot_be_executed(self):
        for command, text in LATE:
            self.assert_late(self.run_here(command), text)
            self.assert_late(self.docker("exec", "box", command), text)
        path = f"{self.bed.base}/environment"
        with open(path, "w") as file:
            file.writelines(f"WORD{number}={'x' * 50000}\n" for number in range(45))
        self.assert_late(self.run_here("true", "--env-file", path),
                         "exec /bin/true: argument list too long\n")


class DockerByShim(Docker, DockerCase):
    door = SHIM


class DockerByCommandLine(Docker, DockerCase):
    door = COMMAND_LINE


class ByPodman(Refusals, PodmanCase):
    @classmethod
    def set_up_bed(cls):
        cls.options_of_run = ["--network", "none", "-v",
                              f"{write_programs(f'{cls.base}/words')}:/words"]
        cls.kept = ("box",)
        cls.out("run", "-d", "--name", "box", *cls.options_of_run, PODMAN_IMAGE, "sleep", "1000000")

    def run_here(self, command):
        return self.podman("run", "--rm", *self.options_of_run, PODMAN_IMAGE, command)

    def test_programs_and_working_directories(self):
        for command, reason, _, _, of_run, of_exec in [*PROGRAMS, DIRECTORY]:
            self.assert_refused(self.run_here(command), f": runc create failed: {CANNOT}{reason}",
                                of_run)
            self.assert_refused(self.podman("exec", "box", command),
                                f": exec failed: {CANNOT}{reason}", of_exec)
        for folder, reason, _, of_exec in DIRECTORIES:
            self.assert_refused(self.podman("exec", "-w", folder, "box", "true"),
                                f": exec failed: {CANNOT}{reason}", of_exec)

    def test_programs_that_cannot_be_executed(self):
        for command, text in LATE:
            self.assert_late(self.run_here(command), text)
            self.assert_late(self.podman("exec", "box", command), text)


class ByCommandLine(Refusals, OciCase):
    box = None

    def setUp(self):
        super().setUp()
        shared = type(self)
        if shared.box is None:
            write_programs(f"{self.rootfs}/words")
            self.run_detached("sleep", "100000")
            shared.box, shared.kept = self.name, (self.name,)
            super().setUp()

    def test_programs_and_working_directories(self):
        for command, text, *_ in [*PROGRAMS, DIRECTORY]:
            reason = text.replace('"', '\\"')  # in a line of a log
            for word in ("create", "run"):
                done = self.cli(word, "--bundle", self.bundle(command), self.name)
                self.assert_refused(done, f"runc {word} failed: {CANNOT}{reason}", 1)
            self.assert_refused(self.cli("exec", self.box, command),
                                f"exec failed: {CANNOT}{reason}", 255)
        for folder, text, *_ in DIRECTORIES:
            reason = text.replace('"', '\\"')
            self.assert_refused(self.cli("exec", "--cwd", folder, self.box, "true"),
                                f"exec failed: {CANNOT}{reason}", 255)

    def test_programs_that_cannot_be_executed(self):
        for command, text in LATE:
            self.assert_late(self.cli("run", "--bundle", self.bundle(command), self.name), text)
            self.assert_late(self.cli("exec", self.box, command), text)

    def test_containers_that_take_no_process(self):
        self.assertEqual(self.cli("pause", self.box).code, 0)
        self.assert_refused(self.cli("exec", self.box, "true"),
                            "exec failed: cannot exec in a paused container", 255)
        self.assertEqual(self.cli("resume", self.box).code, 0)
        self.assert_refused(self.cli("exec", "nosuch", "true"), "container does not exist", 255)
        self.run_detached("true")
        self.wait_status("stopped")
        self.assert_refused(self.cli("exec", self.name, "true"),
                            "exec failed: cannot exec in a stopped container", 255)
