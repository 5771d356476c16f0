# SPDX-License-Identifier: Apache-2.0
"""A PID and mount namespace of its own for a test program, on machines that others use too.

Some folders there are new and empty. What a program needs and lies below one of them, the source tree to
begin with, is seen in the new one as well.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

from . import debs, leftovers
from .process import BedError

INSIDE = "KATA_E2E_INSIDE"
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
# /tmp last: what the others are prepared in may lie there.
COVERED = ("/run", "/dev/shm", "/tmp")


def inside():
    return INSIDE in os.environ


def is_below(path, top):
    return path.startswith(f"{top}/")


def show(new, top, kept):
    """[argv] of commands that make those of the paths `kept` that are below `top` be in `new` as well."""
    commands = []
    below = {path for path in kept if is_below(path, top)}
    for path in sorted(below):
        if any(is_below(path, other) for other in below):
            continue
        target = new + path.removeprefix(top)
        if os.path.isdir(path):
            commands.append(["mkdir", "-p", "--", target])
        else:
            commands += [["mkdir", "-p", "--", os.path.dirname(target)], ["touch", "--", target]]
        commands.append(["mount", "-n", "--rbind", "--", path, target])
    return commands


def cover(scratch, tops, kept):
    """[argv] of commands that replace each folder of `tops` by a new one, in a private mount namespace.

    scratch    an empty folder, in which they are made; the new /tmp stays there, others are in memory
    kept       paths that are to be in the new folders what they were in the old; without links
    """
    made, moved = [], []
    # Without -n mount keeps records below /run, which goes away meanwhile.
    for top in tops:
        new = f"{scratch}/{top[1:].replace('/', '-')}"
        if top == "/tmp":
            made += [["mkdir", "-m", "1777", new], ["mount", "-n", "--bind", new, new]]
        else:
            mode = "1777" if top == "/dev/shm" else "755"
            made += [["mkdir", new], ["mount", "-n", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", new]]
        if top == "/run":
            made.append(["mkdir", f"{new}/lock"])
        made += show(new, top, kept)
        moved.append(["mount", "-n", "--move", new, top])
    return made + moved


def _needed(tops, keep):
    """The paths that a test program needs, without links; BedError for one that cannot be kept."""
    # What is fetched inside stays.
    os.makedirs(debs.cache(), exist_ok=True)
    needed = {os.path.realpath(path) for path in (debs.ROOT, debs.cache(), *keep)}
    for path in needed:
        if path in tops:
            raise BedError(f"{path}: isolated tests have a folder of their own in its place: "
                           "use one below it, or elsewhere")
    # Programs that the caller's PATH adds; and the folder that relative paths begin in.
    wished = {os.path.realpath(path) for path in os.environ["PATH"].split(":") if path}
    wished.add(os.getcwd())
    return sorted(path for path in needed | wished if path not in tops and os.path.exists(path))


def words(scratch, keep=(), network=False):
    """What stands before a command that is to have processes, /run, /tmp and /dev/shm of its own.

    scratch    an empty folder of the caller's, to be removed when the command has ended
    keep       paths that the command is to see, besides the source tree, the cache and the working
               directory
    network    also a network of its own, with a loopback only
    """
    tops = [top for top in COVERED if os.path.isdir(top)]
    lines = cover(scratch, tops, _needed(tops, keep))
    if network:
        lines.append(["ip", "link", "set", "lo", "up"])
    if any(is_below(f"{os.getcwd()}/", top) for top in tops):
        lines.append(["cd", os.getcwd()])
    prelude = "".join(f"{shlex.join(line)}\n" for line in lines) + 'exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "--mount-proc", *(["--net"] if network else []), "sh", "-ec", prelude, "sh"]


def environment():
    """For the command behind words()."""
    env = {**os.environ, INSIDE: "1", "KATA_CACHE": debs.cache(), leftovers.VARIABLE: leftovers.RUN}
    env.pop("TMPDIR", None)
    return env


def isolate(program, keep=(), network=False):
    """Runs `program` with this one's arguments behind words(); returns its exit code.

    However it ends, nothing of it is left: who interrupts this ends it at once.
    """
    scratch = tempfile.mkdtemp(prefix=f"kt-isolated-{leftovers.RUN}-", dir="/var/tmp")
    try:
        return subprocess.run([*words(os.path.realpath(scratch), keep, network), sys.executable,
                               os.path.realpath(program), *sys.argv[1:]], env=environment()).returncode
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        # What was mounted below it is not mounted here.
        shutil.rmtree(scratch, ignore_errors=True)
        leftovers.remove_all_of_this_run()


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
def own_namespaces(keep=(), cover_too=()):
    """Meanwhile this process and what it starts have mounts, a /run and a network of their own.

    keep         as words() takes it
    cover_too    more folders that are to be new and empty
    """
    libc, folder = ctypes.CDLL(None, use_errno=True), os.getcwd()
    tops = ["/run", "/dev/shm", *cover_too]

    def call(function, *arguments):
        if function(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{function.__name__}: {os.strerror(ctypes.get_errno())}")
    with contextlib.ExitStack() as stack:
        scratch = os.path.realpath(tempfile.mkdtemp(prefix="kt-covers-", dir="/var/tmp"))
        stack.callback(_remove_empty, scratch)
        commands = cover(scratch, tops, _needed(tops, keep))
        before = [(stack.enter_context(open(f"/proc/self/ns/{name}", "rb")).fileno(), kind)
                  for name, kind in (("mnt", CLONE_NEWNS), ("net", CLONE_NEWNET))]
        call(libc.unshare, CLONE_NEWNS | CLONE_NEWNET)
        try:
            for command in (["mount", "--make-rprivate", "/"], *commands,
                            ["ip", "link", "set", "lo", "up"]):
                subprocess.run(command, check=True)
            os.chdir(folder)
            yield
        finally:
            for fd, kind in before:
                call(libc.setns, fd, kind)
            os.chdir(folder)


def _remove_empty(folder):
    """Never with what is in it: after a failure that might be the source tree."""
    for name in os.listdir(folder):
        os.rmdir(f"{folder}/{name}")
    os.rmdir(folder)
