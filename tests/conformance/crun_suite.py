# SPDX-License-Identifier: Apache-2.0
"""crun's Python suite: Debian's source, its init built static, one Python per test."""

import contextlib
import glob
import os
import re
import shlex
import signal
import subprocess
import sys

from outcomes import Outcome
from programs import on_terminal
from testbed.process import wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE, TOOLS = "crun", []
QUICK = ()
OWN_NETWORK = False
# Its tests look into the cgroups that they make.
READS_CGROUPS = True
# Without what they are about they would wait until they are stopped.
ENDLESS_IN_VMS = {"seccomp-listener": "not run: it waits for a listener's descriptor, which cannot leave "
                                      "a virtual machine"}


def files(source):
    """{name: how long it is against others}"""
    sizes = {}
    for path in sorted(glob.glob(f"{source}/tests/test_*.py")):
        with open(path) as file:
            sizes[os.path.basename(path)] = file.read().count("\ndef test_")
    return sizes


class Suite:
    def __init__(self, source, tools, work, program, env, seconds, runtime):
        self.work, self.seconds, self.tests = work, seconds, f"{source}/tests"
        self.foreign = {*glob.glob("/sys/fs/cgroup/*/test-tmp*"),
                        *glob.glob("/sys/fs/cgroup/freezer/frozen")}
        # /init is the program of its containers; configure's results do not matter to it.
        with open(f"{work}/config.h", "w"):
            pass
        subprocess.run(["gcc", "-w", "-static", "-O1", f"-I{work}", "-o", f"{work}/init",
                        f"{self.tests}/init.c"], check=True)
        self.endless = ENDLESS_IN_VMS if runtime.is_vm else {}
        os.mkdir(f"{work}/tests")
        os.symlink(f"{work}/init", f"{work}/tests/init")
        if os.path.basename(program) != "crun":
            with open(f"{work}/runtime", "w") as file:
                words = [f"{HERE}/stand-ins/crun-words", *(["--own-network"] if runtime.is_vm else []), program]
                file.write(f"#!/bin/sh\nexec {shlex.join(words)} \"$@\"\n")
            os.chmod(f"{work}/runtime", 0o755)
            program = f"{work}/runtime"
        self.env = {**env, "OCI_RUNTIME": program, "INIT": f"{work}/init",
                    "PYTHONPATH": f"{self.tests}:{HERE}/stand-ins",
                    "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, name):
        """{test: Outcome} of one file."""
        module = name.removesuffix(".py")
        lines = subprocess.run([sys.executable, "-c", f"import {module}\n"
                                f"for name in {module}.all_tests: print('name', name)"],
                               env=self.env, cwd=self.work, check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        titles = [line.split()[1] for line in lines if line.startswith("name ")]
        return {f"{name}: {title}": self._one(name, title) for title in titles}

    def _one(self, name, title):
        if title in self.endless:
            return Outcome("skip", self.endless[title])
        out = f"{self.work}/out"
        code = on_terminal([sys.executable, f"{self.tests}/{name}"],
                           {**self.env, "RUN_TESTS": title}, self.work, self.seconds, out,
                           on_screen=True)
        with open(out, errors="replace") as file:
            text = file.read()
        # What the test says itself need not end its line.
        if re.search(r"(?<!not )ok 1 - .*#SKIP", text):
            return Outcome("skip", "the suite skips it")
        if re.search(r"(?<!not )ok 1 - ", text):
            return Outcome("pass")
        return Outcome("fail", text if code is not None else text + "timeout\n")

    def clean(self):
        """Ends what tests left running, and removes the cgroups that they made."""
        tops = {top for pattern in ("*/test-tmp*", "freezer/frozen")
                for top in glob.glob(f"/sys/fs/cgroup/{pattern}")} - self.foreign
        for top in tops:
            with contextlib.suppress(OSError), open(f"{top}/freezer.state", "w") as file:
                file.write("THAWED")
            with contextlib.suppress(OSError), open(f"{top}/cgroup.procs") as file:
                for pid in file.read().split():
                    os.kill(int(pid), signal.SIGKILL)
        for top in tops:
            with contextlib.suppress(OSError, AssertionError):
                wait_until(lambda top=top: not _processes(top), 10, f"end of the processes in {top}")
                os.rmdir(top)


def _processes(cgroup):
    with open(f"{cgroup}/cgroup.procs") as file:
        return file.read()
