# SPDX-License-Identifier: Apache-2.0
"""Standard streams: pipes in and out, ends of file, large output to a slow reader, log URIs."""

import hashlib
import os
import stat
import subprocess
import time

from support import grpc
from support.case import ContainerdCase, core, only
from testbed.containerd import Lines, wait_readable
from testbed.process import resident_bytes, wait_until

MIB = 1 << 20


class Streams(ContainerdCase):
    def start(self, command, *flags):
        return self.background(self.containerd.popen(
            *self.containerd.run_arguments(self.name, command, "--rm", *flags),
            stdin=subprocess.PIPE))

    @core
    def test_what_is_piped_in_arrives_and_closing_the_pipe_ends_it(self):
        with self.start(self.shell("echo ready; cat; echo end")) as child:
            lines = Lines(child.stdout)
            lines.wait_for("ready\n", 30)
            child.stdin.write(b"hi\n")
            child.stdin.flush()
            lines.wait_for("hi\n")
            self.assertNotIn("end", lines.text, "cat ended before its input did")
            child.stdin.close()
            lines.wait_for("end\n")
            self.assertEqual(child.wait(20), 0)

    @core
    @only("kata", "with runc, ctr misses an end of file that comes before the task exists and hangs")
    def test_echo_hi_into_cat_ends(self):
        self.assert_output(self.containerd.run(self.name, ["cat"], "--rm", stdin=b"hi\n"), "hi\n")

    def test_large_input_arrives_whole(self):
        data = os.urandom(MIB) * 20
        done = self.containerd.run(self.name, self.shell("sha256sum"), "--rm", stdin=data)
        self.assert_output(done, hashlib.sha256(data).hexdigest() + "  -\n")

    @core
    def test_stdout_and_stderr_are_apart(self):
        done = self.containerd.run(self.name, self.shell("echo out; echo err >&2"), "--rm")
        self.assert_output(done, "out\n")
        self.assertEqual(done.err, "err\n")

    def test_output_written_right_before_the_exit_is_not_lost(self):
        done = self.containerd.run(self.name, self.shell(
            "head -c 1000000 /dev/zero | tr '\\0' x; echo last >&2; exit 3"), "--rm")
        self.assert_code(done, 3)
        self.assertEqual((len(done.out), done.err), (1000000, "last\n"))

    def test_a_program_that_closes_its_output_runs_on(self):
        done = self.containerd.run(self.name, self.shell(
            "exec 3>&2; exec >&- ; sleep 0.2; echo still >&3; exit 4"), "--rm")
        self.assert_code(done, 4)
        self.assertEqual(done.err, "still\n")

    def test_200_mb_reach_a_slow_reader_whole_while_the_shim_stays_small(self):
        size, seed = 200 * MIB, os.urandom(MIB)
        path = f"{self.containerd.base}/seed"
        with open(path, "wb") as file:
            file.write(seed)
        expected = hashlib.sha256(seed * 200).hexdigest()
        with self.start(self.shell(
                "echo ready >&2; i=0; while [ $i -lt 200 ]; do cat /seed; i=$((i+1)); done"),
                "--mount", f"type=bind,src={path},dst=/seed,options=rbind:ro") as child:
            # Nobody reads until the first bytes have waited a while: everything on the way is full.
            wait_readable(child.stdout, 30)
            shim = self.runtime.shim_pid(self.containerd, self.name)
            self.assertIsNotNone(shim)
            at_rest = resident_bytes(shim)[1]
            time.sleep(1.5)
            digest, count = hashlib.sha256(), 0
            begin = time.monotonic()
            while data := os.read(child.stdout.fileno(), 65536):
                digest.update(data)
                count += len(data)
                if count < 8 * MIB:
                    time.sleep(0.005)
                elif count < size // 2:
                    peak = resident_bytes(shim)[0]
            seconds = time.monotonic() - begin
            self.assertEqual(child.wait(30), 0, child.stderr.read())
        os.unlink(path)
        self.assertEqual(count, size)
        self.assertEqual(digest.hexdigest(), expected)
        self.assertLess(peak - at_rest, 24 * MIB, "growth of the shim's resident memory")
        print(f"        200 MiB in {seconds:.1f} s, shim {at_rest // 1024} KiB at rest, "
              f"peak {peak // 1024} KiB", flush=True)

    def test_a_reader_that_goes_away_does_not_hold_the_container(self):
        with self.start(self.shell("yes | head -c 50000000; sleep 1000")) as child:
            wait_readable(child.stdout, 30)
            child.kill()
            child.wait()
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True, timeout=20)
        self.wait_status(self.name, "STOPPED")
        self.assertTrue(self.containerd.remove(self.name))


class CallersFifos(ContainerdCase):
    """Callers that read the fifos themselves, and close them when they hear of the exit."""

    @core
    @only("kata", "runc's shim tells the exit while the last output is on its way")
    def test_the_whole_output_is_in_the_fifo_when_the_exit_is_told(self):
        size = 50000  # a fifo holds 64 KiB, and nobody reads it before the end
        for round in range(5):
            name = self.containerd.new_id()
            path = f"{self.containerd.base}/{name}.out"
            os.mkfifo(path)
            fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image,
                                    name, "script", f"head -c {size} /dev/zero; exit 4", check=True)
                with self.containerd.events() as events:
                    grpc.create_task(self.containerd, name, stdout=path)
                    grpc.start_task(self.containerd, name)
                    exit = events.wait_for(name, "/tasks/exit", 60)
                    self.assertEqual(exit["exit_status"], 4)
                    self.assertEqual(len(os.read(fifo, 2 * size)), size, f"round {round}")
            finally:
                os.close(fifo)
                os.unlink(path)
            self.containerd.remove(name)

    @core
    def test_a_descendant_that_writes_on_does_not_hide_the_end(self):
        self.containerd.run_detached(self.name, ["sleep", "1000"])
        with self.containerd.events() as events, self.background(self.containerd.popen(
                *self.containerd.exec_arguments(self.name, self.shell("yes & exit 3"), exec_id="noisy"),
                stdout=subprocess.DEVNULL)):
            exit = events.wait_for(self.name, "/tasks/exit", 30, id="noisy")
            self.assertEqual(exit["exit_status"], 3)


class Attach(ContainerdCase):
    @core
    def test_attach_joins_input_and_output_of_a_detached_container(self):
        self.containerd.run_detached(self.name, self.shell(
            "while read line; do echo got-$line; done; echo end; sleep 1000"))
        with self.background(self.containerd.popen("task", "attach", self.name,
                                                   stdin=subprocess.PIPE)) as child:
            lines = Lines(child.stdout)
            child.stdin.write(b"one\n")
            child.stdin.flush()
            lines.wait_for("got-one\n")
            child.kill()
        with self.background(self.containerd.popen("task", "attach", self.name,
                                                   stdin=subprocess.PIPE)) as child:
            lines = Lines(child.stdout)
            child.stdin.write(b"two\n")
            child.stdin.flush()
            lines.wait_for("got-two\n")
            self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
            self.assertEqual(child.wait(20), 137, "attach ends with the container's exit code")


class LogUri(ContainerdCase):
    @core
    def test_file_uri_gets_both_streams_of_a_detached_container(self):
        path = f"{self.containerd.base}/out.log"
        self.containerd.run_detached(self.name, self.shell(
            "echo out; echo err >&2; sleep 0.3; echo late"), "--log-uri", f"file://{path}")
        self.wait_status(self.name, "STOPPED")
        with open(path) as file:
            self.assertEqual(sorted(file.read().split()), ["err", "late", "out"])

    @core
    def test_binary_uri_starts_the_logger_and_feeds_it_until_the_container_ends(self):
        # The contract of a logger: stdout on descriptor 3, stderr on 4, readiness by closing 5.
        logger = f"{self.containerd.base}/logger"
        out = f"{self.containerd.base}/logged"
        with open(logger, "w") as file:
            # A shim may ask the logger to end with SIGTERM before it has read everything.
            file.write("#!/bin/sh\ntrap '' TERM\n"
                       f"echo \"$CONTAINER_ID $CONTAINER_NAMESPACE $*\" > {out}.env\n"
                       f"cat <&4 > {out}.err 5>&- &\nexec 5>&-\ncat <&3 > {out}.out\nwait\n"
                       f"echo done > {out}.done\n")
        os.chmod(logger, stat.S_IRWXU)
        before = self.before
        self.containerd.run_detached(self.name, self.shell(
            "i=0; while [ $i -lt 5000 ]; do echo line-$i; i=$((i+1)); done; echo err >&2"),
            "--log-uri", f"binary://{logger}?label=value")
        self.wait_status(self.name, "STOPPED", 30)
        self.containerd.ctr("task", "delete", self.name, check=True)
        wait_until(lambda: os.path.exists(f"{out}.done"), 10, "the logger ends")
        with open(f"{out}.out") as file:
            self.assertEqual(file.read(), "".join(f"line-{i}\n" for i in range(5000)))
        with open(f"{out}.err") as file:
            self.assertEqual(file.read(), "err\n")
        with open(f"{out}.env") as file:
            self.assertEqual(file.read().split()[:2], [self.name, self.containerd.namespace])
        self.containerd.remove(self.name)
        self.assert_clean(before)
