# SPDX-License-Identifier: Apache-2.0
"""The OCI command line: each runtime's program itself, with nothing between."""

import json
import os
import select
import subprocess
import tempfile
import time

from ..commands import Failed, Hung, Running, run
from . import spec
from .front import Box, Front, Needs

# What a program is given when it refuses this host's control groups.
WITHOUT_CGROUPS = {"crun": ["--cgroup-manager=disabled"], "runsc": ["--ignore-cgroups"]}


def without_cgroups(runtime):
    """What to change of the runtime when it does not run, and what that means; None where nothing helps."""
    words = WITHOUT_CGROUPS.get(runtime.family)
    return words and ({"argv": runtime.argv + words},
                      "without control groups: it refuses this host's layout of them")


class Oci(Front):
    name = "oci"
    has_steps = True

    def start(self, runtimes):
        """Nothing stands between."""

    def stop(self):
        """Nothing stands between."""

    def refuses(self, runtime):
        return "" if runtime.argv else "it has no OCI command line; try --via ctr"

    def argv(self, runtime, *words):
        return [*runtime.argv, "--root", f"{self.base}/state-{runtime.word}", *words]

    def call(self, runtime, *words, timeout=60, check=True):
        return run(self.argv(runtime, *words), timeout, runtime.env, check)

    def fallback(self, runtime):
        return without_cgroups(runtime)

    def _write_bundle(self, command, root, needs, name):
        folder = f"{self.base}/bundles/{name}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/config.json", "w") as file:
            json.dump(spec.make(command, root, f"/{self.token}/{name}", needs), file)
        return folder

    def begin_run(self, runtime, command):
        # Runs share the tree: they do not write. Cgroups, which bundles name, they cannot share.
        name = self.new_id("r")
        bundle = self._write_bundle(command, self.rootfs.tree, Needs(), name)
        return Running(self.argv(runtime, "run", "--bundle", bundle, name), runtime.env)

    def steps(self, runtime, command, timeout):
        """Milliseconds of create, start (until the first byte) and delete, each a command."""
        name = self.new_id("s")
        bundle = self._write_bundle(command, self.rootfs.tree, Needs(), name)
        read, write = os.pipe()
        try:
            # The container's output is the pipe that create was given.
            creating = _Piped(self.argv(runtime, "create", "--bundle", bundle, name), runtime.env, write)
            created = creating.wait(timeout)
            os.close(write)
            write = None
            starting = _Piped(self.argv(runtime, "start", name), runtime.env, None)
            first = starting.wait_readable(read, timeout)
            starting.wait(timeout)
            self._wait_stopped(runtime, name, timeout)
            removed = self.call(runtime, "delete", name, timeout=timeout)
            return {"start.create": created * 1000, "start.start": first * 1000,
                    "start.delete": removed.seconds * 1000}
        except Failed:
            self.call(runtime, "delete", "--force", name, timeout=30, check=False)
            raise
        finally:
            os.close(read)
            if write is not None:
                os.close(write)

    def _wait_stopped(self, runtime, name, timeout):
        deadline = time.monotonic() + timeout
        while json.loads(self.call(runtime, "state", name).out)["status"] != "stopped":
            if time.monotonic() > deadline:
                raise Hung(f"{runtime.name}: the container has not stopped within {timeout:.0f} s")

    def start_box(self, runtime, needs, timeout):
        name = self.new_id("b")
        root = self.rootfs.overlay(f"{self.base}/roots/{name}")
        bundle = self._write_bundle(["sleep", "1000000"], root, needs, name)
        log = f"{bundle}/output"
        # A container keeps the output of run: it gets a file.
        with open(log, "wb") as out:
            child = subprocess.Popen(self.argv(runtime, "run", "--detach", "--bundle", bundle, name),
                                     env={**os.environ, **runtime.env}, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=out, start_new_session=True)
        box = Box(runtime, name)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            self.remove(box)
            raise Hung(f"no container within {timeout:.0f} s") from None
        if code != 0:
            with open(log, errors="replace") as file:
                lines = file.read().strip().splitlines() or ["no word why"]
            self.remove(box)
            raise Failed(f"no container: {lines[-1][:300]}")
        return box

    def exec_argv(self, box, command):
        return self.argv(box.runtime, "exec", box.id, *command), box.runtime.env

    def remove(self, box, timeout=60):
        try:
            self.call(box.runtime, "delete", "--force", box.id, timeout=timeout, check=False)
        finally:
            self.rootfs.remove_overlay(f"{self.base}/roots/{box.id}")

    def forget_failed(self, runtime):
        try:
            names = self.call(runtime, "list", "-q", timeout=20, check=False).out.split()
            for name in names:
                if name.startswith("r") or name.startswith("s"):
                    self.call(runtime, "delete", "--force", name, timeout=20, check=False)
        except Failed:
            pass

    def init_pid(self, box):
        return json.loads(self.call(box.runtime, "state", box.id).out)["pid"]


class _Piped:
    """A command whose standard output is a given pipe, or nothing."""

    def __init__(self, argv, env, out):
        self._begin, self._argv = time.monotonic(), argv
        self._err = tempfile.TemporaryFile()
        try:
            self._child = subprocess.Popen(
                argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, start_new_session=True,
                stdout=out if out is not None else subprocess.DEVNULL, stderr=self._err)
        except OSError as error:
            self._err.close()
            raise Failed(f"{argv[0]}: {error.strerror}") from None

    def wait_readable(self, descriptor, timeout):
        """Seconds until the pipe has something, or is at its end."""
        if not select.select([descriptor], [], [], timeout)[0]:
            self._kill()
            raise Hung(f"no output within {timeout:.0f} s of start")
        return time.monotonic() - self._begin

    def wait(self, timeout):
        """Seconds until the command's end."""
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._kill()
            raise Hung(f"no end within {timeout:.0f} s: {' '.join(self._argv[-3:])}") from None
        seconds = time.monotonic() - self._begin
        with self._err:
            self._err.seek(0)
            lines = self._err.read().decode(errors="replace").strip().splitlines() or ["no word why"]
        if code != 0:
            raise Failed(f"{self._argv[-1]}: exit code {code}: {lines[-1][:300]}")
        return seconds

    def _kill(self):
        self._child.kill()
        self._child.wait()
        self._err.close()
