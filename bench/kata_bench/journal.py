# SPDX-License-Identifier: Apache-2.0
"""What a run makes on the host, written down before it is made, so that it can be removed after any end.

A run lives in PID, mount and network namespaces of its own: with their first process every process,
mount and interface in it ends. What is left of a run that was killed is what is no namespace's: its
folder, control groups and loop devices. Each run has one file in the journal's folder; a file whose run
is no longer alive is one to clean up after.
"""

import glob
import json
import os
import shutil
import signal
import time

from testbed.leftovers import detach_loops, remove_cgroups

FOLDER = "/var/tmp/kata-bench.journal"


def start_time(pid):
    """When the process began, in clock ticks since boot; None when it is not there or has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(process):
    """Whether [pid, start time] still is that process, not another with its number."""
    pid, begin = process
    return begin is not None and start_time(pid) == begin


def end(process, seconds=10):
    """Ends that process, and waits until it has gone."""
    if is_alive(process):
        try:
            os.kill(process[0], signal.SIGKILL)
        except ProcessLookupError:
            return
    deadline = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.01)


class Journal:
    """The entry of one run. owner and worker are [pid, start time]."""

    def __init__(self, token, scratch, folder=FOLDER):
        self.path = f"{folder}/{token}.json"
        self.entry = {"token": token, "owner": [os.getpid(), start_time(os.getpid())],
                      "worker": None, "scratch": scratch}
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._write()

    def _write(self):
        with open(f"{self.path}.part", "w") as file:
            json.dump(self.entry, file)
        os.replace(f"{self.path}.part", self.path)

    def set_worker(self, pid):
        self.entry["worker"] = [pid, start_time(pid)]
        self._write()

    def close(self):
        """Removes what the run left, and the entry."""
        clean(self.entry)
        os.unlink(self.path)
        try:
            os.rmdir(os.path.dirname(self.path))
        except OSError:
            pass


def clean(entry):
    for process in (entry["worker"],):
        if process:
            end(process)
    detach_loops(entry["token"])
    remove_cgroups(entry["token"])
    shutil.rmtree(entry["scratch"], ignore_errors=True)


def clean_dead(folder=FOLDER):
    """Cleans up after runs that were killed; returns their tokens."""
    tokens = []
    for path in glob.glob(f"{folder}/*.json"):
        try:
            with open(path) as file:
                entry = json.load(file)
            if is_alive(entry["owner"]):
                continue
        except (OSError, ValueError, KeyError, TypeError):
            continue
        clean(entry)
        tokens.append(entry["token"])
        os.unlink(path)
    return tokens
