# SPDX-License-Identifier: Apache-2.0
"""Kata's modes: cold (every VM boots), template (VMs begin as copies of a booted one) and warm (a service
keeps booted VMs ready). All that knows how kata-cpp is told of them is here.
"""

import os
import subprocess
import time

COLD, TEMPLATE, WARM = "cold", "template", "warm"
WARM_VMS = 2


def offered(bin_dir):
    """The modes that the programs in the folder have."""
    with open(f"{bin_dir}/kata-runtime", "rb") as file:
        if b"enable_template" not in file.read():
            return [COLD]
    return [COLD, TEMPLATE, *([WARM] if os.path.exists(f"{bin_dir}/kata-factory") else [])]


def factory_table(mode, folder):
    """Lines of configuration.toml's table [factory] for a mode; "" for programs without templates."""
    lines = [f"enable_template = {str(mode != COLD).lower()}",
             f'template_path = "{folder}/templates"',
             f"vm_cache_number = {WARM_VMS if mode == WARM else 0}",
             f'vm_cache_endpoint = "{folder}/factory.sock"']
    return "[factory]\n" + "\n".join(lines) + "\n"


class Factory:
    """The service that keeps VMs ready, for one configuration."""

    def __init__(self, bin_dir, config, folder):
        self._argv = [f"{bin_dir}/kata-factory", "--config", config]
        self._log, self._endpoint = f"{folder}/factory.log", f"{folder}/factory.sock"
        self._process = None

    def start(self, seconds=120):
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log)
        deadline = time.monotonic() + seconds
        while not os.path.exists(self._endpoint):
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(self._log, errors="replace") as file:
                    raise RuntimeError(f"kata-factory does not serve: {file.read()[-500:]}")
            time.sleep(0.05)

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
