# SPDX-License-Identifier: Apache-2.0
"""Kata's modes: cold (every VM boots), template (VMs begin as copies of a booted one) and warm (a service
keeps booted VMs ready). All that knows how kata-cpp is told of them is here.
"""

import contextlib
import json
import os
import socket
import subprocess
import time

from .commands import Failed

COLD, TEMPLATE, WARM = "cold", "template", "warm"
WARM_VMS = 2


def offered(bin_dir):
    """The modes that the programs in the folder have."""
    with open(f"{bin_dir}/kata-runtime", "rb") as file:
        if b"enable_template" not in file.read():
            return [COLD]
    return [COLD, TEMPLATE, *([WARM] if os.path.exists(f"{bin_dir}/kata-factory") else [])]


def factory_keys(mode, folder):
    """Keys of configuration.toml's table [factory] for a mode; what they name is below the folder."""
    return {"enable_template": mode != COLD, "template_path": f"{folder}/templates",
            "vm_cache_number": WARM_VMS if mode == WARM else 0,
            "vm_cache_endpoint": f"{folder}/factory.sock",
            "layers_path": f"{folder}/layers"}


class Factory:
    """The service that keeps VMs ready, for one configuration.

    enter    makes a command line that runs in the front end's namespaces of one that runs here
    """

    def __init__(self, bin_dir, config, folder, enter):
        self._argv = enter([f"{bin_dir}/kata-factory", "--config", config])
        self._log, self._endpoint = f"{folder}/factory.log", f"{folder}/factory.sock"
        self._process = None

    def start(self, seconds):
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log)
        self.wait_ready(seconds)

    def wait_ready(self, seconds):
        """Waits until it has as many VMs ready as it is to keep."""
        deadline, status = time.monotonic() + seconds, {}
        while not status or status["ready"] < status["wanted"]:
            if self._process.poll() is not None:
                raise Failed(f"kata-factory ended with {self._process.returncode}: {self._last()}")
            if time.monotonic() > deadline:
                raise Failed(f"kata-factory: not ready within {seconds:.0f} s: {status}, {self._last()}")
            time.sleep(0.02)
            status = self._status()

    def _status(self):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            try:
                asking.connect(self._endpoint)
                asking.sendall(b'{"status":{}}\n')
                with asking.makefile() as answer:
                    return json.loads(answer.readline())
            except (OSError, ValueError):
                return {}

    def _last(self):
        with open(self._log, errors="replace") as file:
            return file.read()[-300:].strip()

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Modes:
    """What has to be done around measurements for the modes of the runtimes."""

    PATIENCE = 60

    def __init__(self, front, base):
        self._front, self._base = front, base
        self._factories = {}

    def folder(self, runtime):
        return f"{self._base}/{runtime.word}"

    @contextlib.contextmanager
    def services(self, runtimes):
        """Meanwhile those run that the runtimes need; else not, because their VMs are not idle."""
        try:
            for runtime in runtimes:
                if runtime.mode == WARM:
                    self._start(runtime)
            yield
        finally:
            for factory in self._factories.values():
                factory.stop()
            self._factories = {}

    def _start(self, runtime):
        self._factories[runtime.name] = factory = Factory(
            runtime.files["bin"], runtime.config, self.folder(runtime), self._front.enter)
        factory.start(self.PATIENCE)

    def wait(self, runtime):
        """Before and after a measurement: until nothing is prepared in the background."""
        if runtime.name in self._factories:
            self._factories[runtime.name].wait_ready(self.PATIENCE)
