# SPDX-License-Identifier: Apache-2.0
"""Places in which nothing could work: said at once, with the remedy."""

import os
import unittest

from trees import PlaceCase


class Refused(PlaceCase):
    has_programs = False

    def assert_refused(self, done, *words):
        self.assertNotEqual(done.code, 0, done)
        self.assertLess(done.seconds, 1, done)
        for word in words:
            self.assertIn(word, done.err)
        self.assertNotIn("Traceback", done.err)

    def test_a_name_that_path_lists_take_apart(self):
        for name in ("a:b", "a;b", 'a"b', "a\\b", "a\nb", "a#b"):
            with self.subTest(name=name):
                os.rename(self.tree, f"{self.folder}/{name}")
                try:
                    self.assert_refused(self.call(f"{self.folder}/{name}/scripts/test", "--lint"),
                                        "the source tree", "move it to another folder")
                finally:
                    os.rename(f"{self.folder}/{name}", self.tree)

    def test_a_cache_that_path_lists_take_apart(self):
        self.assert_refused(self.call(f"{self.tree}/scripts/fetch-containerd", "2.1",
                                      env={"KATA_CACHE": "/var/tmp/a:b"}),
                            "the cache folder", "set KATA_CACHE")

    def test_a_folder_in_which_programs_do_not_run(self):
        place = f"{self.folder}/noexec"
        os.makedirs(place, exist_ok=True)
        words = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o noexec tmpfs "$1"; shift; exec "$@"',
                 "sh", place]
        self.assert_refused(self.call(*words, f"{self.tree}/scripts/test", "--lint",
                                      env={"KATA_CACHE": f"{place}/cache"}), "noexec", "set KATA_CACHE")

    def test_a_tree_that_is_tmp_itself(self):
        words = ["unshare", "--mount", "sh", "-ec", 'mount --bind "$1" /tmp; shift; exec "$@"', "sh",
                 self.tree]
        self.assert_refused(self.call(*words, "/tmp/scripts/test", "--bench"), "/tmp itself", "move it")

    def test_end_to_end_tests_say_so_too(self):
        name = f"{self.folder}/a:b"
        os.rename(self.tree, name)
        try:
            self.assert_refused(self.call(f"{name}/tests/e2e/run", "--runtime", "runc", "--containerd",
                                          "2.1", "-k", "run.Run"), "move it to another folder")
        finally:
            os.rename(name, self.tree)


if __name__ == "__main__":
    unittest.main()
