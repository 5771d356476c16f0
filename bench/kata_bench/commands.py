# SPDX-License-Identifier: Apache-2.0
"""Running commands with deadlines and marks. A command that hangs is ended with all that it started."""

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass


class Failed(Exception):
    """A measurement that could not be made; the message is the reason that reports show."""


class Hung(Failed):
    """Nothing came within the deadline."""


class Unsupported(Failed):
    """The runtime or the front end lacks what is to be measured."""


@dataclass(frozen=True)
class Marks:
    """Moments of one command, in seconds of the monotonic clock. first is None without output."""

    begin: float
    first: float
    returned: float


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str
    marks: Marks

    @property
    def seconds(self):
        return self.marks.returned - self.marks.begin


class Running:
    """A command whose output is read as it comes; several can be waited for by turns."""

    def __init__(self, argv, env=None):
        self.argv = [str(word) for word in argv]
        self._err = tempfile.TemporaryFile()
        self._out = b""
        self.begin, self.first, self.returned, self.code = time.monotonic(), None, None, None
        try:
            self._child = subprocess.Popen(
                self.argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=self._err, start_new_session=True)
        except OSError as error:
            self._err.close()
            raise Failed(f"{self.argv[0]}: {error.strerror}") from None

    @property
    def stream(self):
        return self._child.stdout

    def read(self):
        """Takes what there is to read; False at the end of the output, after which it is reaped."""
        data = os.read(self.stream.fileno(), 65536)
        if data:
            if self.first is None:
                self.first = time.monotonic()
            self._out += data
            return True
        return False

    def reap(self, deadline):
        try:
            self.code = self._child.wait(max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._hung(deadline)
        self.returned = time.monotonic()
        self.stream.close()
        return self._done()

    def wait(self, timeout):
        """Reads to the end; raises Hung when that does not come in time."""
        deadline = self.begin + timeout
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        while True:
            # A process that inherited the stream must not keep a command that has ended waiting.
            if poll.poll(min(100, max(0, deadline - time.monotonic()) * 1000)):
                if not self.read():
                    return self.reap(deadline)
            elif self._child.poll() is not None:
                return self.reap(deadline)
            elif time.monotonic() >= deadline:
                self._hung(deadline)

    def _hung(self, deadline):
        self.kill()
        raise Hung(f"no end within {deadline - self.begin:.0f} s: {self.short()}")

    def kill(self):
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()
        self.stream.close()
        self._err.close()

    def short(self):
        """The command line for people: without paths of loaders and state, on one line."""
        text = " ".join([os.path.basename(self.argv[0]), *self.argv[1:]])
        text = re.sub(r"(--root|--fifo-dir|--exec-id) \S+ |\S+/lib/loader --library-path \S+ \S+/bin/", "",
                      text)
        text = " ".join(text.split())
        return text if len(text) < 120 else f"{text[:117]}..."

    def _done(self):
        self._err.seek(0)
        err = self._err.read().decode(errors="replace")
        self._err.close()
        return Done(self.code, self._out.decode(errors="replace"), err,
                    Marks(self.begin, self.first, self.returned))


def run(argv, timeout, env=None, check=True):
    """Runs a command to its end; raises Failed with its own words when it fails."""
    command = Running(argv, env)
    done = command.wait(timeout)
    if check and done.code != 0:
        raise Failed(f"{command.short()}: exit code {done.code}: {last_words(done)}")
    return done


def run_together(commands, timeout):
    """Waits for several Running; returns their Done in order. One that hangs ends them all."""
    open_ones = {command.stream.fileno(): command for command in commands}
    poll = select.poll()
    for number in open_ones:
        poll.register(number, select.POLLIN)
    deadline, found = time.monotonic() + timeout, {}
    while open_ones:
        ready = poll.poll(100)
        if not ready and time.monotonic() >= deadline:
            for command in open_ones.values():
                command.kill()
            raise Hung(f"{len(open_ones)} of {len(commands)} did not end within {timeout:.0f} s")
        for number, _ in ready:
            if not open_ones[number].read():
                poll.unregister(number)
                command = open_ones.pop(number)
                found[id(command)] = command.reap(deadline + 10)
    return [found[id(command)] for command in commands]


def last_words(done):
    """The end of what a command said of its failure, as one line."""
    lines = [line.strip() for line in (done.err or done.out).splitlines() if line.strip()]
    text = lines[-1] if lines else "no word why"
    return text if len(text) < 400 else f"{text[:200]} ... {text[-190:]}"
