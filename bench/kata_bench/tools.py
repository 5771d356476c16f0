# SPDX-License-Identifier: Apache-2.0
"""Programs that the bench takes from Debian's packages and others, unpacked beside the system."""

import glob

from testbed import debs, image
from testbed.process import BedError

ROOT = debs.ROOT


class FetchError(Exception):
    """Something cannot be had; the message says what failed."""


def _fetched(function, *words):
    try:
        return function(*words)
    except BedError as error:
        raise FetchError(str(error)) from None


def deb(package):
    """Folder of a Debian package of this release."""
    return _fetched(debs.unpack, package)


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
    return _fetched(debs.script, "fetch-runsc").split(maxsplit=1)


class Tools:
    """fio, sysbench, iperf3 and wrk with their libraries."""

    def __init__(self, folder=None):
        self.folder = folder or _fetched(debs.script, "fetch-bench-tools")

    def argv(self, program, folder=None):
        """How to call a program here, or in a container that has the tools in `folder`."""
        top = folder or self.folder
        return [f"{top}/lib/loader", "--library-path", f"{top}/lib", f"{top}/bin/{program}"]
