# SPDX-License-Identifier: Apache-2.0
"""A PID and mount namespace of its own for a test program, on machines that others use too."""

import os
import shutil
import subprocess
import sys
import tempfile

INSIDE = "KATA_E2E_INSIDE"


def inside():
    return INSIDE in os.environ


def isolate(program):
    """Runs `program` with this one's arguments and its own processes, /run, /tmp and /dev/shm.

    Returns its exit code.
    """
    hidden = os.path.abspath(program)
    if hidden.startswith(("/tmp/", "/run/", "/dev/shm/")):
        sys.exit(f"--isolate hides {hidden}: move the source tree to another folder")
    scratch = tempfile.mkdtemp(prefix="kt-isolated-", dir="/var/tmp")
    os.chmod(scratch, 0o1777)
    prelude = (f"mount --bind {scratch} /tmp; mount -t tmpfs -o mode=755 tmpfs /run; "
               "mount -t tmpfs tmpfs /dev/shm; mkdir /run/lock; exec \"$@\"")
    try:
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
             "--mount-proc", "sh", "-ec", prelude, "sh", sys.executable, hidden,
             *sys.argv[1:]],
            env={**os.environ, INSIDE: "1"}).returncode
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def serve_as_init():
    """As PID 1 of the namespace: goes on in a child; this process reaps every orphan and ends with it."""
    if os.getpid() != 1:
        return
    child = os.fork()
    while child:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
