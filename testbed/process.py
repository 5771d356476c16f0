# SPDX-License-Identifier: Apache-2.0
"""Running programs with deadlines, and waiting for conditions with deadlines."""

import fcntl
import os
import pty
import pwd
import select
import signal
import struct
import subprocess
import sys
import termios
import time

POLL_SECONDS = 0.02


class BedError(Exception):
    """The test bed itself failed; not a verdict on the product."""


def settle():
    """Undoes what a caller may have set and tests would notice: the umask, the language, no HOME.

    From here on SIGTERM ends the program as SIGINT does, so that it cleans up.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)
    os.environ["LC_ALL"] = "C.UTF-8"
    if not os.environ.get("HOME"):
        os.environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir


def run_main(main):
    """Ends the program with what main() returns; a test bed that cannot be made is said in one line."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BedError as error:
        sys.exit(f"{os.path.basename(os.path.dirname(os.path.realpath(sys.argv[0])))}: {error}")


def run_beside(commands, at_once):
    """[exit code] of programs, `at_once` of them at a time; who interrupts this has them end as well, and waits."""
    waiting, running, codes = list(enumerate(commands)), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, argv = waiting.pop(0)
                running[number] = subprocess.Popen(argv)
            time.sleep(POLL_SECONDS)
            for number, child in list(running.items()):
                if child.poll() is not None:
                    codes[number] = running.pop(number).returncode
        return [codes[number] for number in sorted(codes)]
    except KeyboardInterrupt:
        for child in running.values():
            child.terminate()
        for child in running.values():
            child.wait()
        raise


def wait_until(condition, seconds, what):
    """Returns the first true value of condition(); raises AssertionError after `seconds`.

    what    a phrase for the message, or a callable that makes one when the deadline has passed
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {text}")
        time.sleep(POLL_SECONDS)


class Finished:
    """A program that has ended: argv, code (negative signal number when killed), out, err, seconds."""

    def __init__(self, argv, code, out, err, seconds):
        self.argv, self.code, self.seconds = argv, code, seconds
        self.out_bytes, self.err_bytes = out, err
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")

    def __repr__(self):
        return (f"{' '.join(map(str, self.argv))}\n  exit code {self.code} after {self.seconds:.1f} s"
                f"\n  stdout: {self.out[-3000:]!r}\n  stderr: {self.err[-3000:]!r}")


def run(argv, timeout, env=None, stdin=b"", cwd=None):
    """Runs argv to its end and returns Finished; kills it and raises AssertionError at `timeout`."""
    begin = time.monotonic()
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env, cwd=cwd)
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        # A daemon that inherited the pipes would keep a second communicate() waiting for ever.
        try:
            out, err = child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            out = err = b""
        raise AssertionError(f"no end within {timeout} s: {' '.join(map(str, argv))}\n"
                             f"  stdout: {out[-2000:]!r}\n  stderr: {err[-2000:]!r}") from None
    return Finished(argv, child.returncode, out, err, time.monotonic() - begin)


class Terminal:
    """A program on a pseudo terminal of its own."""

    def __init__(self, argv, env=None, size=(24, 80)):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, env or os.environ)
            finally:
                os._exit(127)
        self.argv, self.output, self.code = argv, b"", None
        self.resize(*size)

    def resize(self, rows, columns):
        """The kernel signals SIGWINCH to the program."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, data):
        os.write(self.master, data)

    def read_until(self, pattern, seconds):
        """Collects output until the compiled bytes `pattern` matches, and returns the match."""
        deadline = time.monotonic() + seconds
        while True:
            match = pattern.search(self.output)
            if match:
                return match
            if not self._collect(deadline):
                raise AssertionError(f"{self.argv}: {pattern.pattern!r} not within {seconds} s in "
                                     f"{self.output!r}")

    def _collect(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.master], [], [], left)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the other side has closed
            return False
        self.output += data
        return bool(data)

    def wait(self, seconds):
        """Returns the exit code as a shell would print it."""
        deadline = time.monotonic() + seconds
        while self._collect(deadline):
            pass
        def ended():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return [status] if pid else None
        status = wait_until(ended, max(0.1, deadline - time.monotonic()), f"end of {self.argv}")[0]
        self.pid = None
        os.close(self.master)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.master)
            self.pid = None


def parallel(functions, workers):
    """Runs the callables on `workers` threads; returns their values in order, raises the first error."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(workers) as pool:
        return [future.result() for future in [pool.submit(f) for f in functions]]


def resident_bytes(pid):
    """Peak and present resident size of a process, in bytes: (peak, present)."""
    values = {}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            key, _, value = line.partition(":")
            values[key] = value
    return int(values["VmHWM"].split()[0]) * 1024, int(values["VmRSS"].split()[0]) * 1024
