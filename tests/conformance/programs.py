# SPDX-License-Identifier: Apache-2.0
"""Running a suite's programs: on a terminal, in a process group that ends with its deadline."""

import os
import pty
import select
import signal
import time


def on_terminal(argv, env, cwd, seconds, out):
    """Runs argv with a terminal as standard input and its output in the file `out`.

    Returns the exit code; None when it was killed after `seconds`, with all of its session.
    """
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(target, 1)
            os.dup2(target, 2)
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, env)
        finally:
            os._exit(127)
    deadline, code = time.monotonic() + seconds, None
    pidfd = os.pidfd_open(pid)
    try:
        while True:
            left = deadline - time.monotonic()
            ready = select.select([master, pidfd], [], [], max(left, 0))[0]
            if pidfd in ready:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                break
            if master in ready:
                try:
                    os.read(master, 65536)
                except OSError:
                    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
            if left <= 0:
                kill_session(pid)
                os.waitpid(pid, 0)
                break
    finally:
        os.close(pidfd)
        os.close(master)
    return code


def kill_session(leader):
    """SIGKILL to every process of the session."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.getsid(int(name)) == leader:
                os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
