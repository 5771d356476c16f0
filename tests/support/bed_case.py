# SPDX-License-Identifier: Apache-2.0
"""What the base classes of end-to-end tests have in common, whatever engine stands between."""

import contextlib
import shutil
import unittest


class BedCase(unittest.TestCase):
    """`self.runtime` is the runtime that is tested; some tests are for one runtime only."""

    def setUp(self):
        test = getattr(self, self._testMethodName)
        if getattr(test, "only_runtime", self.runtime.name) != self.runtime.name:
            self.skipTest(f"{test.only_runtime} only: {test.only_reason}")

    @classmethod
    def end_folder(cls):
        """The end of a bed that lives in the folder cls.base and began with the snapshot cls.before_all."""
        left = cls.before_all.compare()
        cls.before_all.purge(cls.token)
        shutil.rmtree(cls.base, ignore_errors=True)
        cls.complain(left)

    @classmethod
    def complain(cls, left):
        if left:
            raise AssertionError(f"after {cls.__name__} the host still has:\n  " + "\n  ".join(left))

    @contextlib.contextmanager
    def background(self, child):
        """Makes sure that a Popen has ended at the end of the block."""
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
