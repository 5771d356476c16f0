# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completions of a build: KATA_BIN names the folder of its programs."""

import filecmp
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from . import ROOT
from .pages import complaints, plain

SCRIPTS = {"kata-bench": f"{ROOT}/bench/kata-bench",
           "kata-guest-kernel": f"{ROOT}/guest-image/kata-guest-kernel"}
BIN = os.environ.get("KATA_BIN", f"{ROOT}/build/dev/bin")


def generate(folder):
    subprocess.run([f"{ROOT}/scripts/generate-help", "--bin", BIN, "--output", folder], check=True)
    return f"{folder}/share"


def files_below(folder):
    return sorted(os.path.relpath(f"{path}/{name}", folder)
                  for path, _, names in os.walk(folder) for name in names)


def help_of(program, *words):
    path = SCRIPTS.get(program, f"{BIN}/{program}")
    return subprocess.run([path, *words], capture_output=True, text=True, timeout=60, check=True).stdout


@unittest.skipUnless(os.path.exists(f"{BIN}/kata-runtime"), f"nothing is built in {BIN}")
class OfABuild(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kata-words-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.share = generate(f"{cls.folder}/one")

    def page(self, name):
        with open(f"{self.share}/man/man{name[-1]}/{name}") as file:
            return file.read()

    def pages(self):
        return [os.path.basename(name) for name in files_below(f"{self.share}/man")]

    def test_every_option_of_a_help_is_in_the_page(self):
        checked = 0
        for name in self.pages():
            program = re.match(r"kata-runtime|kata-factory|kata-monitor|kata-bench|kata-guest-kernel|containerd-shim-kata-v2", name)[0]
            command = [word for word in [name[len(program):-2].lstrip("-")] if word]
            text = plain(self.page(name))
            shown = help_of(program, *command, "-h" if program.startswith("containerd") else "--help")
            # The list of options, not examples and remarks.
            listed = shown.split("xamples:")[0].split("EXAMPLES:")[0]
            for option in set(re.findall(r"(?m)(?<![\w-])--?[a-z][\w-]*", listed)):
                with self.subTest(page=name, option=option):
                    self.assertRegex(text, rf"(?<![\w-]){re.escape(option)}(?![\w-])")
                    checked += 1
        self.assertGreater(checked, 100)

    def test_every_command_of_the_help_has_a_page(self):
        shown = help_of("kata-runtime", "--help").split("xamples:")[0]
        commands = re.findall(r"(?m)^  ([a-z]+)(?:, ?[\w-]+)* +[A-Za-z]", shown)
        self.assertIn("exec", commands)
        self.assertIn("check", commands)
        for command in commands:
            self.assertIn(f"kata-runtime-{command}.8", self.pages())

    def test_formatters_have_nothing_to_complain_of(self):
        for name in self.pages():
            with self.subTest(name):
                self.assertEqual(complaints(name, self.page(name)), "")

    def test_shells_read_the_completions(self):
        for name in files_below(f"{self.share}/bash-completion"):
            subprocess.run(["bash", "-n", f"{self.share}/bash-completion/{name}"], check=True)
        for name in files_below(f"{self.share}/zsh") if shutil.which("zsh") else []:
            subprocess.run(["zsh", "-n", f"{self.share}/zsh/{name}"], check=True)

    def test_bash_completes_a_command_and_its_option(self):
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kata_runtime && '
                  'printf "%s\\n" "${COMPREPLY[@]}"')

        def complete(*words):
            return subprocess.run(
                ["bash", "-u", "-c", script, "bash", f"{self.share}/bash-completion/completions/kata-runtime",
                 f"{BIN}/kata-runtime", *words], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(complete("che"), ["check", "checkpoint"])
        self.assertEqual(complete("list", "--format", ""), ["table", "json"])
        self.assertIn("--console-socket", complete("exec", "--"))
        self.assertEqual(complete("--root", "/nowhere", "exec", ""), [])

    def test_no_page_names_a_path_of_the_tree(self):
        for name in self.pages():
            self.assertNotIn(ROOT, plain(self.page(name)), name)

    def test_two_makings_give_the_same_bytes(self):
        other = generate(f"{self.folder}/two")
        names = files_below(self.share)
        self.assertEqual(names, files_below(other))
        self.assertEqual(filecmp.cmpfiles(self.share, other, names, shallow=False)[0], names)


if __name__ == "__main__":
    unittest.main()
