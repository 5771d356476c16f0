# SPDX-License-Identifier: Apache-2.0
"""kata-runtime as the OCI command line; the same tests prove themselves with runc."""

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

from support.case import only
from support.oci import DescriptorSocket, OciCase, kill, subreaper, wait_pid
from testbed.process import Terminal, parallel, wait_until


def read_until(fd, pattern, seconds=20):
    """Reads the descriptor until the bytes match."""
    data, deadline = b"", time.monotonic() + seconds
    while not re.search(pattern, data):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise AssertionError(f"{pattern!r} not within {seconds} s in {data!r}")
        data += os.read(fd, 65536)
    return data


class Run(OciCase):
    def test_run_prints_what_the_container_prints_and_deletes_it(self):
        done = self.cli("run", "--bundle", self.bundle("sh", "-c", "echo out; echo err >&2"),
                        self.name)
        self.assert_output(done, "out\n")
        self.assertEqual(done.err, "err\n")
        self.assertEqual(self.ids(), [])

    def test_exit_codes_are_the_containers(self):
        for code in (0, 3, 255):
            done = self.cli("run", "--bundle", self.bundle("sh", "-c", f"exit {code}"), self.name)
            self.assert_code(done, code)

    def test_stdin_and_its_end_reach_the_container(self):
        text = b"".join(b"line %d\n" % i for i in range(20000))
        done = self.cli("run", "--bundle", self.bundle("sh", "-c", "wc -c; echo end"), self.name,
                        stdin=text)
        self.assert_output(done, f"{len(text)}\nend\n")

    def test_much_output_arrives_whole(self):
        done = self.cli("run", "--bundle", self.bundle("sh", "-c", "seq 1 100000"), self.name)
        self.assert_output(done, "".join(f"{i}\n" for i in range(1, 100001)))

    def test_a_program_ends_when_nobody_reads_its_output(self):
        folder = self.bundle("sh", "-c", "yes; echo yes-ended-with-$? >&2")
        with self.popen("run", "--bundle", folder, self.name) as child:
            self.assertEqual(child.stdout.readline(), b"y\n")
            child.stdout.close()
            self.assertEqual(child.wait(60), 0)
            self.assertIn("yes-ended-with-141", child.stderr.read().decode())

    def test_output_to_a_file_is_appended_where_the_caller_stood(self):
        path = f"{self.base}/file"
        with open(path, "wb") as file:
            file.write(b"before\n")
            file.flush()
            child = self.popen("run", "--bundle", self.bundle("echo", "inside"), self.name,
                               stdout=file)
            child.communicate(timeout=200)
        with open(path) as file:
            self.assertEqual(file.read(), "before\ninside\n")

    def test_a_terminal_of_the_caller_becomes_the_containers(self):
        bundle = self.bundle("sh", "-c", "test -t 0 && stty size && read line && echo got-$line",
                             terminal=True)
        terminal = Terminal(self.argv("run", "--bundle", bundle, self.name), env=self.env,
                            size=(31, 97))
        try:
            terminal.read_until(re.compile(rb"\d+ \d+\r+\n"), 200)
            terminal.write(b"word\n")
            terminal.read_until(re.compile(rb"got-word\r+\n"), 20)
            self.assertEqual(terminal.wait(30), 0)
        finally:
            terminal.close()

    def test_a_terminal_whose_output_is_piped_says_line_feeds_alone(self):
        done = self.cli("run", "--bundle", self.bundle("sh", "-c", "echo one; echo two", terminal=True),
                        self.name)
        self.assert_output(done, "one\ntwo\n")

    @only("kata", "Debian's runc knows neither of them yet")
    def test_capabilities_that_nobody_can_give_are_told_and_left_out(self):
        def change(spec):
            spec["process"]["capabilities"] = {"bounding": ["CAP_FLY", "CAP_KILL"], "permitted": ["CAP_KILL"],
                                               "effective": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
        done = self.cli("run", "--bundle", self.bundle("grep", "CapEff", "/proc/self/status", change=change),
                        self.name)
        self.assert_output(done, "CapEff:\t0000000000000020\n")
        self.assertIn("ignoring unknown or unavailable capabilities: [CAP_FLY]", done.err)
        self.assertIn("can't raise ambient capability CAP_KILL", done.err)

    def test_signals_to_run_reach_the_container(self):
        child = self.popen("run", "--bundle", self.bundle(
            "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"), self.name)
        read_until(child.stdout.fileno(), rb"ready", 200)
        child.terminate()
        self.assertEqual(child.wait(30), 7)
        child.communicate()


class Lifecycle(OciCase):
    def test_create_start_kill_and_delete_go_through_the_states(self):
        bundle = self.bundle("sh", "-c", "echo started; sleep 1000")
        with open(f"{self.base}/out-{self.name}", "wb") as out:
            child = self.popen("create", "--bundle", bundle, "--pid-file", f"{self.base}/pid",
                               self.name, stdout=out, stderr=out)
            self.assertEqual(child.wait(200), 0, self.output())
        state = self.state()
        self.assertEqual((state["id"], state["status"], state["bundle"], state["rootfs"]),
                         (self.name, "created", bundle, self.rootfs))
        with open(f"{self.base}/pid") as file:
            self.assertEqual(int(file.read()), state["pid"])
        self.assertTrue(os.path.exists(f"/proc/{state['pid']}"))
        self.assertEqual(self.output(), "")
        self.assert_refused(self.cli("exec", self.name + "x", "true"), "does not exist", 255)

        self.assert_code(self.cli("start", self.name), 0)
        self.wait_status("running")
        wait_until(lambda: self.output() == "started\n", 20, "output")
        self.assert_refused(self.cli("start", self.name),
                            "cannot start an already running container")
        self.assert_refused(self.cli("delete", self.name),
                            f"cannot delete container {self.name} that is not stopped: running")
        self.assert_refused(self.cli("create", "--bundle", bundle, self.name),
                            "container with given ID already exists")
        self.assertIn(self.name, self.cli("list").out)
        self.assertEqual(json.loads(self.cli("list", "-f", "json").out)[0]["id"], self.name)

        self.assert_code(self.cli("kill", self.name, "KILL"), 0)
        self.wait_status("stopped")
        self.assertEqual(self.state()["pid"], 0)
        self.assert_refused(self.cli("kill", self.name), "container not running")
        self.assert_refused(self.cli("start", self.name),
                            "cannot start a container that has stopped")
        self.assert_code(self.cli("delete", self.name), 0)
        for command in ("state", "kill", "start", "delete", "pause", "ps"):
            self.assert_refused(self.cli(command, self.name), "container does not exist")
        self.assert_code(self.cli("delete", "--force", self.name), 0)

    @only("kata", "Debian's runc has no such option yet")
    def test_a_pidfd_socket_receives_the_process(self):
        receiver = DescriptorSocket(f"{self.base}/pidfd")
        self.addCleanup(receiver.close)
        child = self.popen("create", "--bundle", self.bundle("sleep", "1000"), "--pidfd-socket",
                           receiver.path, self.name)
        process = receiver.take()
        self.assertEqual(child.wait(200), 0)
        self.assert_code(self.cli("start", self.name), 0)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        self.wait_status("stopped")
        child.communicate()

    def test_the_reported_process_ends_with_the_containers_status(self):
        with subreaper():
            pid = self.run_detached("sh", "-c", "sleep 0.3; exit 42")
            self.assertEqual(wait_pid(pid), 42)
            self.wait_status("stopped")

    def test_a_killed_container_is_137_to_who_waits_for_the_reported_process(self):
        with subreaper():
            pid = self.run_detached("sleep", "1000")
            self.assert_code(self.cli("kill", self.name, "9"), 0)
            self.assertEqual(wait_pid(pid), 137)

    def test_sigkill_to_the_reported_process_kills_the_container(self):
        with subreaper():
            pid = self.run_detached("sleep", "1000")
            kill(pid)
            self.assertEqual(wait_pid(pid), 137)
            self.wait_status("stopped")

    def test_signals_to_the_reported_process_are_passed_on(self):
        with subreaper():
            pid = self.run_detached(
                "sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done")
            wait_until(lambda: "ready" in self.output(), 20, "output")
            kill(pid, signal.SIGUSR1)
            self.assertEqual(wait_pid(pid), 9)

    def test_delete_by_force_ends_a_running_container(self):
        with subreaper():
            pid = self.run_detached("sleep", "1000")
            self.assert_code(self.cli("delete", "--force", self.name), 0)
            self.assertEqual(wait_pid(pid), 137)
            self.assertEqual(self.ids(), [])

    def test_of_two_creates_of_one_id_one_wins(self):
        bundle = self.bundle("sleep", "1000")
        codes = parallel([lambda: self.popen(
            "create", "--bundle", bundle, self.name, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).wait(200) for _ in range(2)], 2)
        self.assertEqual(sorted(codes), [0, 1])
        self.assertEqual(self.state()["status"], "created")

    @only("kata", "runc leaves what a killed create has made")
    def test_a_killed_create_does_not_block_the_id(self):
        bundle = self.bundle("echo", "fine")
        child = self.popen("create", "--bundle", bundle, self.name, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(f"{self.root}/{self.name}/shim.pid"), 30, "a shim")
        child.kill()
        child.wait()
        wait_until(lambda: not os.path.exists(f"{self.root}/{self.name}"), 30,
                   "the stand-in clears away")
        self.assert_output(self.cli("run", "--bundle", bundle, self.name), "fine\n")

    @only("kata", "runc has no pods")
    def test_a_create_of_a_member_that_fails_late_leaves_nothing_in_the_pod(self):
        def of_pod(kind):
            return lambda spec: spec.setdefault("annotations", {}).update({
                "io.kubernetes.cri.container-type": kind,
                "io.kubernetes.cri.sandbox-id": self.name})
        self.run_detached("sleep", "1000", change=of_pod("sandbox"))
        member = f"{self.name}-m"
        done = self.cli("create", "--bundle", self.bundle("sleep", "1000", change=of_pod("container")),
                        "--pid-file", "/no-such-folder/pid", member)
        self.assert_refused(done, "pid file")
        self.assertEqual(self.ids(), [self.name])
        self.assert_code(self.cli("delete", "--force", self.name), 0)
        wait_until(lambda: not os.path.exists(f"/run/vc/sbs/{self.name}"), 20,
                   "the machine ends with the pod's last container")


class InsideOneContainer(OciCase):
    """All tests use one container, which the first one starts."""

    pid = None

    def setUp(self):
        super().setUp()
        shared = type(self)
        if not shared.kept:
            shared.pid = self.run_detached("sleep", "1000")
            shared.kept = (self.name,)
        self.name = shared.kept[0]

    def test_exec_gives_output_and_exit_codes(self):
        done = self.cli("exec", self.name, "sh", "-c", "echo out; echo err >&2; exit 5")
        self.assert_code(done, 5)
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))
        self.assert_output(self.cli("exec", self.name, "cat", stdin=b"input"), "input")
        self.assert_output(self.cli("exec", "--cwd", "/tmp", "--env", "A=b c", "--user", "1000:1000",
                                    self.name, "sh", "-c", "pwd; echo $A; id -u"), "/tmp\nb c\n1000\n")

    def test_exec_of_a_missing_program_says_so(self):
        done = self.cli("exec", self.name, "no-such-program")
        self.assert_refused(done, "executable file not found in $PATH", 255)

    def test_exec_with_a_process_file(self):
        path = f"{self.base}/process.json"
        with open(path, "w") as file:
            json.dump({"args": ["sh", "-c", "echo $WORD; exit 4"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                       "env": ["WORD=x", "PATH=/bin"]}, file)
        done = self.cli("exec", "--process", path, self.name)
        self.assert_code(done, 4)
        self.assertEqual(done.out, "x\n")

    def test_a_detached_exec_is_reaped_by_the_subreaper(self):
        pid_file = f"{self.base}/exec-pid"
        with subreaper():
            done = self.popen("exec", "--detach", "--pid-file", pid_file, self.name, "sh", "-c",
                              "sleep 0.3; exit 6", stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).wait(30)
            self.assertEqual(done, 0)
            with open(pid_file) as file:
                self.assertEqual(wait_pid(int(file.read())), 6)

    def test_sigkill_to_a_detached_execs_process_kills_it_in_the_container(self):
        pid_file = f"{self.base}/exec-pid"
        with subreaper():
            self.popen("exec", "--detach", "--pid-file", pid_file, self.name, "sleep", "4321",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(30)
            with open(pid_file) as file:
                pid = int(file.read())
            kill(pid)
            self.assertEqual(wait_pid(pid), 137)
            wait_until(lambda: "4321" not in self.cli("exec", self.name, "ps").out, 20,
                       "end of the process in the container")
            self.assertEqual(self.state()["status"], "running")

    def test_a_console_socket_gets_a_terminal_that_follows_its_size(self):
        console = DescriptorSocket(f"{self.base}/console")
        try:
            child = self.popen("exec", "-t", "--detach", "--console-socket", console.path, self.name,
                               "sh", "-c", "stty -echo; echo ready; while read l; do stty size; done")
            master = console.take()
            self.assertEqual(child.wait(30), 0, child.stderr.read() if child.returncode else "")
            read_until(master, rb"ready\r\n")
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
            def resized():
                os.write(master, b"\n")
                return b"31 97" in read_until(master, rb"\r\n")
            wait_until(resized, 20, "the new size")
            child.communicate()
        finally:
            console.close()

    def test_ps_lists_the_processes(self):
        def processes():
            return json.loads(self.cli("ps", "--format", "json", self.name).out)
        wait_until(lambda: len(processes()) == 1, 20, "only the first process")
        table = self.cli("ps", self.name).out.splitlines()
        self.assertRegex(table[0], r"^UID\s+PID\s+PPID\s+C\s+STIME\s+TTY\s+TIME\s+CMD$")
        self.assertIn("sleep 1000", table[1])

    def test_a_paused_container_refuses_exec_and_start(self):
        self.assert_code(self.cli("pause", self.name), 0)
        self.assertEqual(self.state()["status"], "paused")
        self.assert_refused(self.cli("exec", self.name, "true"),
                            "cannot exec in a paused container", 255)
        self.assert_code(self.cli("resume", self.name), 0)
        self.assertEqual(self.state()["status"], "running")
        self.assert_code(self.cli("exec", self.name, "true"), 0)
        self.assert_refused(self.cli("resume", self.name), "container not paused")

    @only("kata", "the limits of a host's container are the host's cgroups")
    def test_update_changes_limits_and_events_tell_of_them(self):
        self.assert_code(self.cli("update", "--pids-limit", "123", "--memory", "64m", self.name), 0)
        event = json.loads(self.cli("events", "--stats", self.name).out)
        self.assertEqual((event["type"], event["id"]), ("stats", self.name))
        self.assertEqual(event["data"]["pids"]["limit"], 123)
        self.assertEqual(event["data"]["memory"]["usage"]["limit"], 64 << 20)
        done = self.cli("update", "--resources", "-", self.name,
                        stdin=b'{"pids":{"limit":77}}')
        self.assert_code(done, 0)
        event = json.loads(self.cli("events", "--stats", self.name).out)
        self.assertEqual(event["data"]["pids"]["limit"], 77)

    @only("kata", "no CRIU is needed")
    def test_what_cannot_be_saved_or_restored_is_told_and_the_container_goes_on(self):
        images = f"{self.base}/{self.name}.images"
        for flags, said in ((["--pre-dump"], "--pre-dump: a machine is saved whole"),
                            (["--parent-path", "/nothing"], "--parent-path: a machine is saved whole"),
                            (["--leave-running", "--leave-running", "--tcp-established"], "shared_fs")):
            self.assert_refused(self.cli("checkpoint", "--image-path", images, *flags, self.name), said)
        self.assertFalse(os.path.exists(images))
        self.assert_output(self.cli("exec", self.name, "echo", "alive"), "alive\n")
        bundle = self.bundle("sleep", "1000")
        self.assert_refused(self.cli("restore", "--detach", "-no-subreaper", "--bundle", bundle, "--image-path",
                                     images, f"{self.name}-r"), "no checkpoint of this runtime")
        self.assert_refused(self.cli("restore", "--lazy-pages", "--bundle", bundle, f"{self.name}-r"), "--lazy-pages")
        # By these words Podman decides that pods can be restored.
        done = self.cli("restore", "--lsm-mount-context")
        self.assertNotRegex(done.err, "flag needs an argument|requires an argument")
        for command in ("checkpoint", "restore"):
            self.assert_code(self.cli(command, "--help"), 0)
        self.assertEqual(self.ids(), [self.name])

    @only("kata", "a figure of ours")
    def test_a_command_without_a_machine_is_quick_and_the_stand_in_small(self):
        def seconds():
            begin = time.monotonic()
            self.cli("state", self.name)
            return time.monotonic() - begin
        self.assertLess(min(seconds() for _ in range(10)), 0.05)
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            pss = int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
        self.assertLess(pss, 1024, "KiB of a stand-in")


class Refusals(OciCase):
    """Each within two seconds: no machine is booted to find out."""

    def refuse(self, words, bundle=None, name=None):
        begin = time.monotonic()
        done = self.cli("run", "--bundle", bundle or self.bundle("true"), name or self.name)
        self.assertEqual(done.code, 1, done)
        self.assertRegex(done.err, words)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(self.ids(), [])

    def test_a_bundle_that_is_missing_or_broken(self):
        self.refuse("no such file or directory|No such file or directory",
                    f"{self.base}/no-such-bundle")
        os.mkdir(f"{self.base}/empty")
        self.refuse("config.json", f"{self.base}/empty")
        bundle = self.bundle("true")
        with open(f"{bundle}/config.json", "w") as file:
            file.write('{"ociVersion": ')
        self.refuse(".", bundle)

    def test_root_file_systems_that_are_missing_or_links(self):
        self.refuse("(?i)no such file or directory", self.bundle(
            "true", change=lambda spec: spec["root"].update(path="no-such-folder")))
        os.symlink(self.rootfs, f"{self.base}/link")
        self.refuse("symlink", self.bundle(
            "true", change=lambda spec: spec["root"].update(path=f"{self.base}/link")))

    @only("kata", "Debian's runc lists nothing there")
    def test_a_list_of_a_folder_that_is_not_there(self):
        self.assert_refused(self.cli("--root", f"{self.base}/no-such-root", "list"), "No such file")

    def test_ids_that_are_no_names(self):
        for name in ("a/b", "..", "x y"):
            self.refuse("(?i)invalid", name=name)

    @only("kata", "runc sees this later and says it differently")
    def test_specifications_that_make_no_sense(self):
        for words, change in [
                ("ociVersion", lambda spec: spec.update(ociVersion="7.0.0")),
                ("process.args", lambda spec: spec["process"].update(args=[])),
                ("process.cwd", lambda spec: spec["process"].update(cwd="tmp")),
                ("no-such-source", lambda spec: spec["mounts"].append(
                    {"destination": "/x", "type": "bind", "source": "/no-such-source",
                     "options": ["bind"]})),
                ("memory.limit", lambda spec: spec["linux"]["resources"].update(
                    memory={"limit": -7})),
                ("invalid memory policy mode", lambda spec: spec["linux"].update(
                    memoryPolicy={"mode": "MPOL_FAST"}))]:
            self.refuse(words, self.bundle("true", change=change))

    def test_a_terminal_without_a_console_socket(self):
        bundle = self.bundle("true", terminal=True)
        done = self.cli("create", "--bundle", bundle, self.name)
        self.assert_refused(done, "will detach without setting console socket")

    def test_the_last_error_is_in_the_log_as_json(self):
        log = f"{self.base}/log"
        done = self.cli("--log", log, "--log-format", "json", "state", self.name)
        self.assert_code(done, 1)
        with open(log) as file:
            line = json.loads(file.read().splitlines()[-1])
        self.assertEqual((line["level"], line["msg"]), ("error", "container does not exist"))
        self.assertIn("time", line)
