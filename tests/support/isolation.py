# SPDX-License-Identifier: Apache-2.0
"""A PID and mount namespace of its own for a test program, on machines that others use too."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

INSIDE = "KATA_E2E_INSIDE"
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000


def inside():
    return INSIDE in os.environ


def isolate(program, network=False):
    """Runs `program` with this one's arguments and its own processes, /run, /tmp and /dev/shm.

    network    also a network of its own, with a loopback only
    Returns its exit code.
    """
    hidden = os.path.abspath(program)
    if hidden.startswith(("/tmp/", "/run/", "/dev/shm/")):
        sys.exit(f"--isolate hides {hidden}: move the source tree to another folder")
    scratch = tempfile.mkdtemp(prefix="kt-isolated-", dir="/var/tmp")
    os.chmod(scratch, 0o1777)
    prelude = (f"mount --bind {scratch} /tmp; mount -t tmpfs -o mode=755 tmpfs /run; "
               "mount -t tmpfs tmpfs /dev/shm; mkdir /run/lock; "
               + ("ip link set lo up; " if network else "") + 'exec "$@"')
    try:
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
             "--mount-proc", *(["--net"] if network else []), "sh", "-ec", prelude, "sh",
             sys.executable, hidden, *sys.argv[1:]],
            env={**os.environ, INSIDE: "1"}).returncode
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def serve_as_init():
    """As PID 1 of the namespace: goes on in a child; this process reaps every orphan and ends with it."""
    if os.getpid() != 1:
        return
    # Programs that look for the length of a process id find the one that hosts have.
    with contextlib.suppress(OSError), open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write("10000")
    child = os.fork()
    while child:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


@contextlib.contextmanager
def own_namespaces():
    """Meanwhile this process and what it starts have mounts, a /run and a network of their own."""
    libc, folder = ctypes.CDLL(None, use_errno=True), os.getcwd()

    def call(function, *arguments):
        if function(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{function.__name__}: {os.strerror(ctypes.get_errno())}")
    with contextlib.ExitStack() as stack:
        before = [(stack.enter_context(open(f"/proc/self/ns/{name}", "rb")).fileno(), kind)
                  for name, kind in (("mnt", CLONE_NEWNS), ("net", CLONE_NEWNET))]
        call(libc.unshare, CLONE_NEWNS | CLONE_NEWNET)
        try:
            for command in ("mount --make-rprivate /", "mount -t tmpfs -o mode=755 tmpfs /run",
                            "mount -t tmpfs tmpfs /dev/shm", "mkdir /run/lock",
                            "ip link set lo up"):
                subprocess.run(command.split(), check=True)
            yield
        finally:
            for fd, kind in before:
                call(libc.setns, fd, kind)
            os.chdir(folder)
