# SPDX-License-Identifier: Apache-2.0
"""Completion for zsh, by a zsh on a terminal."""

import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

from words import zsh

from .made_up import tree

PROGRAM = """#!/bin/sh
[ "$*" = "list -q" ] && echo web && echo wiki
[ "$*" = "--root /other list -q" ] && echo other
exit 0
"""

# Control-X prints the line as it is; a list that would need a question is printed too.
SETUP = r"""
PS1='READY> '
LISTMAX=1000
unsetopt zle_bracketed_paste prompt_sp beep 2>/dev/null
fpath=(%(folder)s/functions $fpath)
autoload -Uz compinit && compinit -u -D
show() { print -r -- "<<$BUFFER>>"; BUFFER=''; zle reset-prompt }
zle -N show
bindkey '^X' show
path=(%(folder)s $path)
cd %(folder)s/here
PS1='NOW> '
"""


@unittest.skipUnless(shutil.which("zsh"), "no zsh: scripts/install-deps test")
class Zsh(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kata-words-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        os.makedirs(f"{cls.folder}/functions")
        os.makedirs(f"{cls.folder}/here/sub")
        with open(f"{cls.folder}/here/rules", "w"):
            pass
        with open(f"{cls.folder}/functions/_boat", "w") as file:
            file.write(zsh.render(tree()))
        with open(f"{cls.folder}/boat", "w") as file:
            file.write(PROGRAM)
        os.chmod(f"{cls.folder}/boat", 0o755)
        with open(f"{cls.folder}/setup", "w") as file:
            file.write(SETUP % {"folder": cls.folder})
        cls.master, slave = pty.openpty()
        cls.shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave,
                                     start_new_session=True,
                                     env={"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": cls.folder,
                                          "COLUMNS": "300", "LC_ALL": "C.UTF-8"})
        os.close(slave)
        cls.addClassCleanup(cls._end)
        cls._send(f". {cls.folder}/setup\n")
        cls._read_until(rb"NOW> ")

    @classmethod
    def _end(cls):
        cls.shell.kill()
        cls.shell.wait()
        os.close(cls.master)

    @classmethod
    def _send(cls, text):
        os.write(cls.master, text.encode())

    @classmethod
    def _read_until(cls, pattern, seconds=60):
        data, deadline = b"", time.monotonic() + seconds
        while not re.search(pattern, data):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([cls.master], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} not within {seconds} s in {data!r}")
            data += os.read(cls.master, 65536)
        return data.decode(errors="replace")

    def complete(self, line):
        """The line after a tabulator, and all that the terminal showed."""
        self._send(f"{line}\t\x18")
        shown = self._read_until(rb"(?s)<<[^>]*>>.*NOW> ")
        return re.search(r"<<([^>]*)>>", shown)[1], shown

    def assert_becomes(self, line, expected):
        self.assertEqual(self.complete(line)[0], expected)

    def assert_offers(self, line, *words):
        shown = self.complete(line)[1]
        for word in words:
            self.assertIn(word, shown)

    def test_commands_and_those_below_them(self):
        self.assert_becomes("boat che", "boat check ")
        self.assert_becomes("boat --quiet fleet m", "boat --quiet fleet make ")
        self.assert_offers("boat f", "filter", "fleet", "read or write", "several boats")

    def test_options_are_those_of_the_command(self):
        self.assert_becomes("boat check --j", "boat check --json ")
        self.assert_becomes("boat fleet make --c", "boat fleet make --count=")
        self.assert_offers("boat --", "--root", "--log-level", "directory of all")

    def test_values_that_are_few(self):
        self.assert_becomes("boat --log-level=d", "boat --log-level=debug ")
        self.assert_becomes("boat -l w", "boat -l warn ")
        self.assert_becomes("boat filter s", "boat filter set ")

    def test_files_and_folders(self):
        self.assert_becomes("boat filter set web ru", "boat filter set web rules ")
        self.assert_becomes("boat check -b s", "boat check -b sub/")

    def test_containers_are_asked_of_the_program_of_the_line(self):
        self.assert_becomes("boat exec we", "boat exec web ")
        self.assert_becomes("boat --root /other exec ", "boat --root /other exec other ")
        self.assert_becomes("boat fleet sink wi", "boat fleet sink wiki ")

    def test_signals(self):
        self.assert_becomes("boat kill web TER", "boat kill web TERM ")

    def test_what_follows_a_program_in_the_container_is_nobodys_business(self):
        self.assert_becomes("boat exec web sh --e", "boat exec web sh --e")


if __name__ == "__main__":
    unittest.main()
