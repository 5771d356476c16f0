# SPDX-License-Identifier: Apache-2.0
"""What isolation replaces and what it keeps, what an interruption ends, and how values get into configuration."""

import signal
import tempfile
import time
import tomllib
import unittest

from support.suite import run_suite
from testbed import isolation
from testbed.process import BedError, run_beside
from testbed.runtime import toml_value


def kept_by(top, paths):
    return [argv[-2] for argv in isolation.cover("/scratch", [top], paths) if "--rbind" in argv]


class Cover(unittest.TestCase):
    def test_keeps_only_what_lies_below_a_covered_folder(self):
        self.assertEqual(kept_by("/tmp", ["/tmp/a", "/tmpfile", "/srv/tmp/a", "/tmp", "/run/x"]), ["/tmp/a"])

    def test_keeps_a_folder_once_with_all_that_is_in_it(self):
        self.assertEqual(kept_by("/tmp", ["/tmp/a/b", "/tmp/a", "/tmp/ab"]), ["/tmp/a", "/tmp/ab"])

    def test_moves_when_all_is_prepared(self):
        commands = isolation.cover("/tmp/scratch", ["/run", "/tmp"], ["/tmp/a", "/run/b"])
        moves = [argv for argv in commands if "--move" in argv]
        self.assertEqual(commands[-2:], moves)
        self.assertEqual([argv[-1] for argv in moves], ["/run", "/tmp"])

    def test_keeps_files(self):
        with tempfile.NamedTemporaryFile(dir="/tmp") as file:
            commands = isolation.cover("/scratch", ["/tmp"], [file.name])
        self.assertIn(["touch", "--", f"/scratch{file.name}"], commands)

    def test_refuses_to_keep_what_it_replaces(self):
        with self.assertRaisesRegex(BedError, "^/tmp: .*use one below it, or elsewhere"):
            isolation.words("/scratch", ["/tmp"])


class Interruption(unittest.TestCase):
    def setUp(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def test_what_tests_and_classes_have_begun_is_ended(self):
        ended = []

        class Case(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.addClassCleanup(ended.append, "class")

            def test_that_is_interrupted(self):
                self.addCleanup(ended.append, "test")
                raise KeyboardInterrupt
        suite = unittest.TestSuite([Case("test_that_is_interrupted")])
        with self.assertRaises(KeyboardInterrupt):
            run_suite(suite, lambda all_tests: all_tests.run(unittest.TestResult()))
        self.assertEqual(ended, ["test", "class"])

    def test_programs_that_run_beside_each_other_end_too(self):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        begin = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            run_beside([["sleep", "1000"], ["true"], ["sleep", "1001"]], 2)
        self.assertLess(time.monotonic() - begin, 100)
        self.assertEqual(run_beside([["true"], ["false"], ["true"]], 2), [0, 1, 0])


class Configuration(unittest.TestCase):
    def test_values_mean_themselves(self):
        for value in ("plain", "a b, 'c' \"d\" \\ é", "tab\tnew\n", 7, True, False):
            self.assertEqual(tomllib.loads(f"key = {toml_value(value)}\n"), {"key": value})


if __name__ == "__main__":
    unittest.main()
