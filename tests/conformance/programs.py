# SPDX-License-Identifier: Apache-2.0
"""Running a suite's programs: on a terminal, in a process group that ends with its deadline."""

import os
import pty
import select
import signal
import time


def on_terminal(argv, env, cwd, seconds, out, on_screen=False):
    """Runs argv on a terminal, with its output in the file `out`; `on_screen`, by way of the terminal.

    Returns the exit code; None when it was killed, with all of its session, because it had said
    nothing for `seconds`.
    """
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            if not on_screen:
                os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
                os.dup2(1, 2)
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(argv[0], argv, env)
        finally:
            os._exit(127)
    deadline, code, said = time.monotonic() + seconds, None, 0
    pidfd = os.pidfd_open(pid)
    screen = open(out if on_screen else os.devnull, "wb")
    try:
        while True:
            if (size := os.path.getsize(out) if os.path.exists(out) else 0) != said:
                deadline, said = time.monotonic() + seconds, size
            left = deadline - time.monotonic()
            ready = select.select([master, pidfd], [], [], min(max(left, 0), 5))[0]
            if pidfd in ready and master not in ready:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                break
            if master in ready:
                try:
                    screen.write(os.read(master, 65536))
                except OSError:  # nobody has the terminal any more
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    break
            if left <= 0:
                kill_session(pid)
                os.waitpid(pid, 0)
                break
    finally:
        screen.close()
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
