# SPDX-License-Identifier: Apache-2.0
"""What no namespace takes with it when its last process ends: control groups and loop devices.

Those of a run of tests are known by its word, which all names in it begin with.
"""

import glob
import itertools
import os
import secrets
import subprocess
import time

# A run in namespaces has the word of who cleans up after it.
VARIABLE = "KATA_TESTBED_RUN"
RUN = os.environ.get(VARIABLE) or secrets.token_hex(3)
_serial = itertools.count()


def new_token():
    """What the names of a bed end in: namespaces, folders, containers.

    Cgroups are the whole machine's, in which other runs have beds too: those of tokens that are not
    of this run are theirs.
    """
    return f"{RUN}{next(_serial):02x}"


def remove_cgroups(word, seconds=5, top="/sys/fs/cgroup"):
    """Removes every cgroup whose path has the word; the kernel needs a moment for the dead. Returns what is left."""
    deadline = time.monotonic() + seconds
    while True:
        left = [path for path, _, _ in os.walk(top, topdown=False) if word in path[len(top):]]
        for path in left:
            try:
                os.rmdir(path)
            except OSError:
                pass
        left = [path for path in left if os.path.exists(path)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.05)


def detach_loops(word):
    """Detaches loop devices on files whose path has the word; the path is that of a mount namespace."""
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            with open(path) as file:
                backing = file.read()
        except OSError:
            continue
        if word in backing:
            subprocess.run(["losetup", "--detach", f"/dev/{path.split('/')[3]}"],
                           stderr=subprocess.DEVNULL, check=False)


def remove_all_of_this_run():
    detach_loops(f"/kt-{RUN}")
    remove_cgroups(f"/kt-{RUN}", 20)
