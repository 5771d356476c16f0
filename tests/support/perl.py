# SPDX-License-Identifier: Apache-2.0
"""The machine's own Perl as a small tree: an ordinary program with libraries, for root file systems."""

import os
import re
import shutil
import subprocess

PATH = "/usr/bin/perl"


def write_tree(folder):
    """Makes `folder` a root in which perl runs; returns it."""
    libraries = re.findall(r"(/\S+) \(0x", subprocess.check_output(["ldd", PATH], text=True))
    for path in (PATH, *libraries):
        os.makedirs(folder + os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.realpath(path), folder + path)
    for name in ("dev", "proc", "tmp"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    return folder
