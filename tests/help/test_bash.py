# SPDX-License-Identifier: Apache-2.0
"""Completion for bash, by a bash."""

import os
import subprocess
import tempfile
import unittest

from words import bash

from .made_up import tree

# The program of the line answers `list -q`.
PROGRAM = """#!/bin/sh
[ "$*" = "list -q" ] && echo web && echo wiki
[ "$*" = "--root /other list -q" ] && echo other
exit 0
"""


class Bash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kata-words-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        with open(f"{cls.folder}/completion", "w") as file:
            file.write(bash.render(tree()))
        with open(f"{cls.folder}/boat", "w") as file:
            file.write(PROGRAM)
        os.chmod(f"{cls.folder}/boat", 0o755)
        os.makedirs(f"{cls.folder}/here/a folder")
        with open(f"{cls.folder}/here/a file", "w"):
            pass

    def complete(self, *words, program=None):
        """What bash offers for the last word; the words as bash splits them."""
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _boat && '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(
            ["bash", "-u", "-c", script, "bash", f"{self.folder}/completion", program or f"{self.folder}/boat",
             *words], cwd=f"{self.folder}/here", capture_output=True, text=True, timeout=20)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []

    def test_commands_and_those_below_them(self):
        self.assertEqual(self.complete("f"), ["filter", "fleet"])
        self.assertEqual(self.complete("--quiet", "fleet", ""), ["make", "sink"])

    def test_options_are_those_of_the_command(self):
        self.assertEqual(self.complete("--"), ["--root", "--log-level", "--quiet"])
        self.assertEqual(self.complete("check", "-"), ["--json", "--bundle", "-b"])
        self.assertEqual(self.complete("fleet", "make", "--"), ["--count"])

    def test_values_that_are_few(self):
        self.assertEqual(self.complete("--log-level", ""), ["debug", "warn"])
        self.assertEqual(self.complete("-l", "w"), ["warn"])
        self.assertEqual(self.complete("--log-level", "=", "d"), ["debug"])
        self.assertEqual(self.complete("--log-level", "="), ["debug", "warn"])
        self.assertEqual(self.complete("filter", ""), ["get", "set"])

    def test_files_and_folders(self):
        self.assertCountEqual(self.complete("filter", "get", "web", "a"), ["a folder", "a file"])
        self.assertEqual(self.complete("check", "-b", "a"), ["a folder"])
        self.assertEqual(self.complete("check", "-b", "a folder", "--j"), ["--json"])

    def test_containers_are_asked_of_the_program_of_the_line(self):
        self.assertEqual(self.complete("exec", "w"), ["web", "wiki"])
        self.assertCountEqual(self.complete("filter", "set", "web", ""), ["a folder", "a file"])
        self.assertEqual(self.complete("--root", "/other", "exec", ""), ["other"])
        self.assertEqual(self.complete("--root", "=", "/other", "kill", ""), ["other"])
        self.assertEqual(self.complete("fleet", "sink", ""), ["web", "wiki"])

    def test_a_program_that_is_not_there_gives_no_containers(self):
        self.assertEqual(self.complete("exec", "", program="/none/boat"), [])

    def test_signals(self):
        self.assertEqual(self.complete("kill", "web", "SIGTER"), ["SIGTERM"])
        self.assertEqual(self.complete("kill", "web", "TER"), ["TERM"])

    def test_what_follows_a_program_in_the_container_is_nobodys_business(self):
        self.assertEqual(self.complete("exec", "web", "--e"), [])
        self.assertEqual(self.complete("exec", "--e"), ["--env"])
        self.assertEqual(self.complete("exec", "web", "sh", "check", ""), [])
        self.assertEqual(self.complete("check", "--", "--j"), [])

    def test_a_value_without_known_form_is_left_to_the_person(self):
        self.assertEqual(self.complete("fleet", "make", "--count", ""), [])


if __name__ == "__main__":
    unittest.main()
