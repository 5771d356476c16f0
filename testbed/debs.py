# SPDX-License-Identifier: Apache-2.0
"""Debian's packages, binary and source, unpacked into the cache folder: scripts/lib/{debs,sources}.sh."""

import os
import subprocess

from .process import BedError

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def cache():
    """The cache folder, as scripts/lib/common.sh finds it."""
    folder = os.environ.get("KATA_CACHE")
    if not folder:
        top = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = f"{top}/kata-cpp"
    return os.path.realpath(folder)


def unpack(package, suite="bookworm"):
    """Folder of the package."""
    return _call("unpack_deb", suite, package)


def unpack_source(package, suite="bookworm"):
    """Folder of the package's source."""
    return _call("unpack_source", suite, package)


def mirror():
    """Address of the mirror that serves this machine's Debian."""
    return _call("debian_mirror")


def runc():
    """Path of runc: one for all tests, whatever the host has installed."""
    return f"{unpack('runc')}/usr/sbin/runc"


def script(name, *words):
    """What a script of this tree prints."""
    return _output([f"{ROOT}/scripts/{name}", *words], name)


def _call(function, *words):
    parts = 'for part in common debs sources; do . "$0/scripts/lib/$part.sh"; done; "$@"'
    return _output(["bash", "-euo", "pipefail", "-c", parts, ROOT, function, *words],
                   " ".join([function, *words]))


def _output(argv, what):
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BedError(f"{what}: cannot be fetched, see above")
    return done.stdout.strip()
