# SPDX-License-Identifier: Apache-2.0
"""Places in which everything works."""

import glob
import os
import secrets
import subprocess

from testbed import leftovers
from testbed.process import wait_until
from trees import PlaceCase, add_programs, copy, give


class BelowTmp(PlaceCase):
    """Isolated runs have a /tmp of their own."""

    def test_the_bench_measures(self):
        self.assert_the_bench_measures()

    def test_isolated_containers_run(self):
        self.assert_an_isolated_container_runs()

    def test_an_isolated_run_that_is_told_to_end_leaves_nothing(self):
        word = secrets.token_hex(3)
        def made():
            """What of the run is no namespace's: its folder, and control groups once it has a container."""
            folders = glob.glob(f"/var/tmp/kt-isolated-{word}-*")
            groups = glob.glob(f"/sys/fs/cgroup/kt-{word}*") + glob.glob(f"/sys/fs/cgroup/*/kt-{word}*")
            return folders, groups
        child = subprocess.Popen([f"{self.tree}/tests/e2e/run", "--isolate", "--runtime", "runc", "-k", "Signals"],
                                 stdout=subprocess.DEVNULL, env={**os.environ, leftovers.VARIABLE: word})
        try:
            wait_until(lambda: all(made()), 120, "a container of the run")
        finally:
            child.terminate()
            code = child.wait(60)
        self.assertEqual(code, 130)
        self.assertEqual(made(), ([], []))

    def test_the_cache_may_be_there_too_and_what_is_fetched_in_isolation_stays(self):
        cache = f"{self.folder}/cache"
        self.assert_works(
            "/usr/bin/python3", "-Bc", "import sys; sys.path.insert(0, sys.argv[1])\n"
            "import tempfile; from testbed import isolation\nimport subprocess\n"
            "with tempfile.TemporaryDirectory(dir='/var/tmp') as scratch:\n"
            "  subprocess.run([*isolation.words(scratch), 'touch', sys.argv[2]], check=True)",
            self.tree, f"{cache}/fetched", env={"KATA_CACHE": cache})
        self.assertTrue(os.path.exists(f"{cache}/fetched"))


class OddNameOfAnotherOwner(PlaceCase):
    """A path that shells, lists and options of programs take apart, a clone of somebody else's, and a
    caller with an environment that is no help."""

    name = "a folder, 'of' (mine) & $HOME/clone é%"
    env = {"HOME": None, "LANG": "de_DE.UTF-8", "LC_ALL": None, "CDPATH": "/usr:/var", "TMPDIR": "/nowhere"}

    @classmethod
    def set_up_place(cls):
        give(cls.tree, 65534)
        os.chmod(cls.tree, 0o700)

    def test_lint_reads_all_sources(self):
        self.assert_lint_reads_all_sources()

    def test_the_bench_measures(self):
        self.assert_the_bench_measures("bench/kata-bench", cwd=self.tree)

    def test_isolated_containers_run(self):
        self.assert_an_isolated_container_runs("./run", cwd=f"{self.tree}/tests/e2e", umask=0o077)

    def test_a_suite_begins_and_its_report_is_where_it_was_asked_for(self):
        self.assert_a_suite_begins(umask=0o077)

    def test_it_compiles_and_knows_its_commit(self):
        other = f"{self.tree} to build"
        copy(other)
        give(other, 65534)
        self.shell("configure dev", 'cd "$KATA_ROOT"',
                   "quietly build/log cmake --build --preset dev --target kata_base", tree=other)
        commit = subprocess.check_output(
            ["git", "-C", other, "-c", f"safe.directory={other}", "rev-parse", "--short=12", "HEAD"],
            text=True).strip()
        with open(f"{other}/build/dev/build.ninja") as file:
            self.assertIn(commit, file.read())


class ThroughALink(PlaceCase):
    name = "elsewhere/clone"

    @classmethod
    def set_up_place(cls):
        os.symlink(cls.tree, f"{cls.folder}/link")

    def test_isolated_containers_run(self):
        self.assert_an_isolated_container_runs("link/tests/e2e/run")


class BelowRun(PlaceCase):
    """Tests of Podman and nerdctl have a /run of their own even where they are not isolated."""

    top = "/run"
    has_programs = False

    def test_isolated_containers_run(self):
        self.assert_an_isolated_container_runs(runtime="runc")

    def test_what_covers_run_for_a_while_shows_the_tree(self):
        done = self.assert_works(
            "/usr/bin/python3", "-Bc", "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from testbed import isolation\n"
            "with isolation.own_namespaces():\n"
            "  print(os.listdir('/run'), os.path.exists(sys.argv[1] + '/scripts/test'))\n"
            "print(len(os.listdir('/run')) > 2)", self.tree)
        self.assertIn("'lock'", done.out)
        self.assertIn("True\nTrue", done.out)


class WithoutGit(PlaceCase):
    """An archive that was unpacked, in a clone of something else at that."""

    has_programs = False

    @classmethod
    def set_up_place(cls):
        subprocess.run(["rm", "-rf", f"{cls.tree}/.git"], check=True)
        subprocess.run(["git", "-C", cls.folder, "init", "--quiet"], check=True)
        os.makedirs(f"{cls.tree}/build/src")
        with open(f"{cls.tree}/build/src/made.cc", "w"):
            pass

    def test_lint_reads_all_sources(self):
        self.assert_lint_reads_all_sources()

    def test_the_commit_of_what_is_around_it_is_not_taken_for_its_own(self):
        subprocess.run(["git", "-C", self.folder, "-c", "user.name=test", "-c",
                        "user.email=test@example.invalid", "commit", "--quiet", "--allow-empty",
                        "--message", "other"], check=True)
        self.assertEqual(self.shell("tree_git rev-parse HEAD 2>&1 || echo none").splitlines()[-1], "none")


class Moved(PlaceCase):
    """What was configured in one place builds that place's sources, whatever stands around it."""

    has_programs = False

    def test_a_build_folder_of_another_place_is_made_again(self):
        old = f"{self.folder}/old"
        os.makedirs(f"{self.tree}/build/dev")
        with open(f"{self.tree}/build/dev/CMakeCache.txt", "w") as file:
            file.write(f"CMAKE_HOME_DIRECTORY:INTERNAL={old}\n")
        with open(f"{self.tree}/build/dev/build.ninja", "w") as file:
            file.write(f"# {old}\n")
        self.shell("configure dev")
        with open(f"{self.tree}/build/dev/CMakeCache.txt") as file:
            self.assertIn(f"CMAKE_HOME_DIRECTORY:INTERNAL={self.tree}\n", file.read())
