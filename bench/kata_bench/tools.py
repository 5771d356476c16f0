# SPDX-License-Identifier: Apache-2.0
"""Programs that the bench takes from Debian's packages and others, unpacked beside the system."""

import glob
import os
import subprocess

from support import image
from support.process import BedError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class FetchError(Exception):
    """Something cannot be had; the message says what failed."""


def _call(argv, what):
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise FetchError(f"{what} cannot be fetched: see above")
    return done.stdout.strip()


def deb(package, suite="bookworm"):
    """Folder of a Debian package of this release."""
    return _call(["bash", "-euc", f"for part in common debs; do . {ROOT}/scripts/lib/$part.sh; done; "
                  f"unpack_deb {suite} {package}"], package)


def runc():
    return f"{deb('runc')}/usr/sbin/runc"


def crun():
    """(path, environment) of crun."""
    libraries = glob.glob(f"{deb('libyajl2')}/usr/lib/*")
    return f"{deb('crun')}/usr/bin/crun", {"LD_LIBRARY_PATH": ":".join(libraries)}


def busybox():
    """Path of a static busybox: the system's, else Debian's."""
    try:
        return image.busybox()
    except BedError:
        return f"{deb('busybox-static')}/bin/busybox"


def runsc():
    """(version, folder) of runsc and its shim; the first time this builds for minutes."""
    return _call([f"{ROOT}/scripts/fetch-runsc"], "runsc").split()


class Tools:
    """fio, sysbench, iperf3 and wrk with their libraries."""

    def __init__(self, folder=None):
        self.folder = folder or _call([f"{ROOT}/scripts/fetch-bench-tools"], "the bench's tools")

    def argv(self, program, folder=None):
        """How to call a program here, or in a container that has the tools in `folder`."""
        top = folder or self.folder
        return [f"{top}/lib/loader", "--library-path", f"{top}/lib", f"{top}/bin/{program}"]
