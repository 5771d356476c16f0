# SPDX-License-Identifier: Apache-2.0
"""One tree, two kernels: what host and container see of each other's changes."""

import os

from support.case import core
from support.oci import OciCase
from testbed.process import wait_until

# The guest may go on using what it knows for a tenth of a second; busy hosts take longer.
SECONDS = 20


class Sharing(OciCase):
    def setUp(self):
        super().setUp()
        self.volume = f"{self.base}/volume-{self.name}"
        os.mkdir(self.volume)
        self.run_detached("sleep", "1000", change=self.change)

    def change(self, spec):
        spec["mounts"].append({"destination": "/volume", "source": self.volume, "type": "bind",
                               "options": ["rbind"]})

    def write(self, name, text, mode="w"):
        with open(f"{self.volume}/{name}", mode) as file:
            file.write(text)

    def inside(self, script):
        return self.cli("exec", self.name, "sh", "-c", script).out

    def assert_seen(self, script, text):
        wait_until(lambda: self.inside(script) == text, SECONDS,
                   lambda: f"{script}: {self.inside(script)!r} instead of {text!r}")

    @core
    def test_changes_of_the_host_arrive_although_the_guest_has_read_the_file(self):
        self.write("file", "one")
        self.assertEqual(self.inside("cat /volume/file"), "one")
        self.write("file", "two")
        self.assert_seen("cat /volume/file", "two")
        self.write("file", " and three", "a")
        self.assert_seen("cat /volume/file", "two and three")
        self.write("other", "replaced")
        os.rename(f"{self.volume}/other", f"{self.volume}/file")
        self.assert_seen("cat /volume/file; ls /volume", "replacedfile\n")
        self.write("new", "")
        self.assert_seen("ls /volume", "file\nnew\n")
        os.unlink(f"{self.volume}/file")
        self.assert_seen("cat /volume/file 2>/dev/null; ls /volume", "new\n")

    @core
    def test_changes_of_the_container_are_on_the_host_when_the_command_has_ended(self):
        self.inside("echo one > /volume/file; mkdir -p /volume/a/b")
        with open(f"{self.volume}/file") as file:
            self.assertEqual(file.read(), "one\n")
        self.inside("echo two >> /volume/file; mv /volume/file /volume/a/b/moved; ln -s b /volume/a/c")
        self.assertEqual(os.listdir(self.volume), ["a"])
        with open(f"{self.volume}/a/c/moved") as file:
            self.assertEqual(file.read(), "one\ntwo\n")
        self.inside("rm -r /volume/a")
        self.assertEqual(os.listdir(self.volume), [])

    def test_a_program_that_is_replaced_on_the_host_runs_as_the_new_one(self):
        for word in ("first", "second"):
            self.write("program", f"#!/bin/sh\necho {word}\n")
            os.chmod(f"{self.volume}/program", 0o755)
            self.assert_seen("/volume/program", f"{word}\n")
