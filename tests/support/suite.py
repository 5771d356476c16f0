# SPDX-License-Identifier: Apache-2.0
"""Running a suite so that who interrupts it finds the host as it was."""

import signal
import unittest


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def run_suite(suite, run):
    """run(suite). After an interruption what its tests and classes have begun is ended, which unittest leaves."""
    tests = list(flatten(suite))
    try:
        return run(suite)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for test in tests:
            test.doCleanups()
        for case in dict.fromkeys(map(type, tests)):
            case.doClassCleanups()
        raise
