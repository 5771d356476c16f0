# SPDX-License-Identifier: Apache-2.0
"""Debian's packages, binary and source, unpacked into the cache folder: scripts/lib/{debs,sources}.sh."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def unpack(package, suite="bookworm"):
    """Folder of the package."""
    return _call("unpack_deb", suite, package)


def unpack_source(package, suite="bookworm"):
    """Folder of the package's source."""
    return _call("unpack_source", suite, package)


def runc():
    """Path of runc: one for all tests, whatever the host has installed."""
    return f"{unpack('runc')}/usr/sbin/runc"


def _call(function, suite, package):
    script = (f"set -euo pipefail; for part in common debs sources; do . {ROOT}/scripts/lib/$part.sh;"
              f" done; {function} {suite} {package}")
    return subprocess.check_output(["bash", "-c", script], text=True).strip()
