# SPDX-License-Identifier: Apache-2.0
"""The part of a run that stays outside: starts the worker in its namespaces, takes what it tells, shows
progress, keeps the journal, and cleans up after every end."""

import ctypes
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time

from testbed import isolation

from . import journal

PR_SET_PDEATHSIG = 1


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Interrupted(Exception):
    """The user or the system asked the run to end."""


def programs_of(job):
    """The paths that a worker needs to see."""
    found = [job["tools"], job["probe"], os.environ.get("KATA_BUSYBOX")]
    for runtime in job["runtimes"]:
        found += [runtime["path"], *runtime["argv"][:1], *runtime["path_dirs"], *runtime["files"].values()]
    return [path for path in found if path and path.startswith("/")]


class Supervisor:
    """run() gives (whether all was measured, how it ended). on_event takes each event."""

    def __init__(self, program, on_event, folder="/var/tmp"):
        self._program, self._on_event = program, on_event
        self.token = secrets.token_hex(4)
        self._scratch = f"{folder}/kata-bench-{self.token}"
        self._errors = None

    def run(self, job):
        entry = journal.Journal(self.token, self._scratch)
        os.mkdir(self._scratch, 0o700)
        handlers = {number: signal.signal(number, self._interrupt)
                    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        child = None
        try:
            child, events = self._start({**job, "token": self.token})
            entry.set_worker(child.pid)
            return self._listen(child, events)
        except Interrupted as error:
            return False, f"interrupted by {error}"
        finally:
            # From here on nothing may stop the cleaning.
            for number in handlers:
                signal.signal(number, signal.SIG_IGN)
            if child:
                child.kill()
                child.wait()
            entry.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    @staticmethod
    def _interrupt(number, _frame):
        raise Interrupted(signal.Signals(number).name)

    def _start(self, job):
        read, write = os.pipe()
        self._errors = tempfile.TemporaryFile()
        child = subprocess.Popen(
            [*isolation.words(self._scratch, programs_of(job), network=True),
             sys.executable, self._program, "--worker", str(write)],
            stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors, pass_fds=[write],
            env=isolation.environment(), preexec_fn=_die_with_parent, start_new_session=True)
        os.close(write)
        try:
            child.stdin.write(json.dumps(job).encode())
            child.stdin.close()
        except BrokenPipeError:
            pass
        return child, read

    def _listen(self, child, events):
        text = b""
        ended = None
        while True:
            # Progress moves on between events.
            if not select.select([events], [], [], 0.5)[0]:
                self._on_event({"event": "tick"})
                continue
            data = os.read(events, 65536)
            if not data:
                break
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["event"] == "finished":
                    ended = True, "complete"
                elif event["event"] == "failed":
                    ended = False, event["reason"]
                self._on_event(event)
        os.close(events)
        child.wait()
        return ended or (False, f"the measuring process ended with {child.returncode}: "
                                f"{self._last_words()}")

    def _last_words(self):
        self._errors.seek(0)
        return self._errors.read()[-2000:].decode(errors="replace").strip()


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
