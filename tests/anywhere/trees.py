# SPDX-License-Identifier: Apache-2.0
"""Copies of the source tree, and calls of what is in them."""

import os
import shutil
import subprocess
import tempfile
import unittest
from dataclasses import dataclass

from testbed.process import BedError, run

PROGRAMS = ("containerd-shim-kata-v2", "kata-runtime", "kata-stand-in", "kata-factory", "kata-monitor", "kata-agent")


@dataclass
class Source:
    """The tree that is copied, the folders of its programs and its guest, and which runtime is run."""

    root: str
    bin: str
    guest: str
    runtime: str


SOURCE = None


def copy(target):
    """Makes `target` a copy of the source tree without what is built, a git repository of its own."""
    os.makedirs(target)
    packed = subprocess.Popen(["tar", "-C", SOURCE.root, "--exclude=./build", "--exclude=./.git", "-cf", "-",
                               "."], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-C", target, "-xf", "-"], stdin=packed.stdout, check=True)
    if packed.wait() != 0:
        raise BedError(f"{SOURCE.root} cannot be copied")
    for words in (["init", "--quiet"], ["add", "--all"],
                  ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "--quiet",
                   "--message", "copy"]):
        subprocess.run(["git", "-C", target, *words], check=True)


def add_programs(target):
    """Puts programs and guest where a build leaves them."""
    os.makedirs(f"{target}/build/dev/bin")
    for name in PROGRAMS:
        if not os.path.exists(f"{SOURCE.bin}/{name}"):
            raise BedError(f"{SOURCE.bin}/{name} is missing: run scripts/build --preset dev")
        shutil.copy2(f"{SOURCE.bin}/{name}", f"{target}/build/dev/bin/{name}")
    shutil.copytree(SOURCE.guest, f"{target}/build/guest", symlinks=True)


def give(folder, uid):
    """Makes the folder another user's, with all that is in it."""
    subprocess.run(["chown", "-R", f"{uid}:{uid}", folder], check=True)


class PlaceCase(unittest.TestCase):
    """cls.tree is a copy of the tree in the class's place; call(...) runs a program of it.

    top     where a folder of the class's own is made
    name    what the tree is called below it
    env     what differs from the environment of the tests; None: is not set
    """

    top = "/tmp"
    name = "clone"
    env = {}
    has_programs = True

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="kata-anywhere-", dir=cls.top)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o755)
        cls.tree = f"{cls.folder}/{cls.name}"
        copy(cls.tree)
        if cls.has_programs and SOURCE.runtime == "kata":
            add_programs(cls.tree)
        cls.set_up_place()

    @classmethod
    def set_up_place(cls):
        """For subclasses: what else is to be in the place."""

    def call(self, program, *words, timeout=300, cwd=None, env=None, umask=0o022):
        """Runs a program of the tree; Finished. cwd is relative to the class's folder."""
        env = {**os.environ, **self.env, **(env or {})}
        before = os.umask(umask)
        try:
            return run([program, *words], timeout, cwd=os.path.join(self.folder, cwd or ""),
                       env={name: value for name, value in env.items() if value is not None})
        finally:
            os.umask(before)

    def assert_works(self, program, *words, **options):
        done = self.call(program, *words, **options)
        self.assertEqual(done.code, 0, done)
        return done

    def shell(self, *lines, tree=None):
        """What lines of bash print that use scripts/lib of the tree."""
        script = "\n".join(['. "$0/scripts/lib/common.sh"', '. "$0/scripts/lib/tree.sh"', *lines])
        return self.assert_works("bash", "-euo", "pipefail", "-c", script, tree or self.tree,
                                 timeout=600).out

    # -- the cheap beginnings of the stages of scripts/test -------------------------------------

    def assert_lint_reads_all_sources(self):
        files = self.shell("tree_files 'src/*.cc' 'scripts/*'").split("\0")[:-1]
        expected = [os.path.relpath(f"{folder}/{name}", self.tree)
                    for folder, _, names in os.walk(f"{self.tree}/src") for name in names
                    if name.endswith(".cc")]
        self.assertEqual(sorted(path for path in files if path.startswith("src/")), sorted(expected))
        self.assertIn("scripts/test", files)

    def assert_the_bench_measures(self, program=None, **options):
        output = f"{self.folder}/result.json"
        words = ["--runtimes", "runc"] if SOURCE.runtime == "runc" else [
            "--runtimes", "runc,kata", "--modes", "cold", "--bin", f"{self.tree}/build/dev/bin", "--guest",
            f"{self.tree}/build/guest"]
        self.assert_works(program or f"{self.tree}/bench/kata-bench", "run", "--quick", "--only", "start",
                          *words, "--output", output, **options)
        self.assertGreater(os.path.getsize(output), 1000)

    def assert_an_isolated_container_runs(self, program=None, runtime=None, **options):
        done = self.assert_works(
            program or f"{self.tree}/tests/e2e/run", "--isolate", "--containerd", "2.1", "--start", "boot",
            "--runtime", runtime or SOURCE.runtime, "--bin", f"{self.tree}/build/dev/bin", "-k", "run.Run.test_the_kernel_is_the_guests_own",
            **options)
        self.assertIn("1 passed, 0 failed", done.out)

    def assert_a_suite_begins(self, **options):
        done = self.assert_works(
            f"{self.tree}/tests/conformance/run", "--suite", "runc", "--isolate", "--jobs", "1", "--bin",
            f"{self.tree}/build/dev/bin", "--runtime", SOURCE.runtime, "--files", "version.bats", "--json",
            f"{self.folder}/suite.json", **options)
        self.assertIn("1 passed, 0 skipped, 0 failed", done.out)
        self.assertGreater(os.path.getsize(f"{self.folder}/suite.json"), 10)
