# SPDX-License-Identifier: Apache-2.0
"""A run that is interrupted or killed leaves nothing on the host. Needs root, and what kata-bench needs.

Only with KATA_BENCH_AS_ROOT=1, as scripts/test --bench sets it: containers of runc are run.
"""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from . import ROOT

sys.path.insert(0, f"{ROOT}/bench")
from kata_bench import journal  # noqa: E402


@unittest.skipUnless(os.environ.get("KATA_BENCH_AS_ROOT") == "1", "KATA_BENCH_AS_ROOT=1 is not set")
class Leftovers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir="/var/tmp")
        self.addCleanup(folder.cleanup)
        self.output = f"{folder.name}/result.json"

    def start(self, *words):
        """A run that measures; returns when it has begun to."""
        self.child = subprocess.Popen(
            [sys.executable, "-B", f"{ROOT}/bench/kata-bench", "run", "--runtimes", "runc", "--minutes",
             "2", "--output", self.output, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True)
        self.addCleanup(self.child.stderr.close)
        self.lines = []
        for line in self.child.stderr:
            self.lines.append(line)
            if "% done" in line:
                break
        else:
            self.fail("".join(self.lines))
        with open(glob.glob(f"{journal.FOLDER}/*.json")[0]) as file:
            self.entry = json.load(file)

    def left(self):
        """Of the run: processes, folders, control groups, loop devices."""
        token, found = self.entry["token"], []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    if token.encode() in file.read():
                        found.append(path)
            except OSError:
                pass
        found += [path for path, _, _ in os.walk("/sys/fs/cgroup") if token in path]
        found += glob.glob(f"/var/tmp/*{token}*") + glob.glob(f"{journal.FOLDER}/{token}*")
        for path in glob.glob("/sys/block/loop*/loop/backing_file"):
            with open(path) as file:
                found += re.findall(rf".*{token}.*", file.read())
        with open("/proc/self/mounts") as file:
            return found + re.findall(rf".*{token}.*", file.read())

    def wait_processes(self):
        deadline = time.monotonic() + 20
        while any(path.startswith("/proc") for path in self.left()) and time.monotonic() < deadline:
            time.sleep(0.1)

    def test_an_interrupt_keeps_what_was_measured_and_leaves_nothing(self):
        self.start("--only", "start,exec")
        time.sleep(1.5)
        self.child.send_signal(signal.SIGINT)
        self.child.stderr.read()
        self.assertEqual(self.child.wait(30), 130)
        with open(self.output) as file:
            data = json.load(file)
        self.assertFalse(data["complete"])
        self.assertIn("SIGINT", data["ended"])
        self.assertTrue(any(row["samples"] for row in data["values"]))
        self.assertEqual(self.left(), [])

    def test_what_a_killed_run_leaves_the_next_one_removes(self):
        self.start("--only", "io")
        time.sleep(2)
        self.child.kill()
        self.child.wait()
        self.wait_processes()
        self.assertFalse([path for path in self.left() if path.startswith("/proc")])
        self.assertTrue(os.path.isdir(self.entry["scratch"]))
        done = subprocess.run([sys.executable, "-B", f"{ROOT}/bench/kata-bench", "run", "--runtimes",
                               "runc", "--only", "exec", "--quick", "--output", self.output],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"cleaned up after run {self.entry['token']}", done.stderr)
        self.assertEqual(self.left(), [])


if __name__ == "__main__":
    unittest.main()
