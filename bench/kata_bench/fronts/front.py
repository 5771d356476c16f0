# SPDX-License-Identifier: Apache-2.0
"""What a front end is: it runs containers of any runtime from the bench's image."""

import abc
import itertools
import os
import shlex
from dataclasses import dataclass, field

PROBE = "/bench/probe"


@dataclass
class Needs:
    """What a container is to have.

    mounts        [(path here, path inside)]
    tmpfs         paths inside
    device        a block device here; inside it has the same path
    netns         path of a network namespace; None: one of its own
    privileged    all capabilities and no read-only system paths
    """

    mounts: list = field(default_factory=list)
    tmpfs: list = field(default_factory=list)
    device: str = ""
    netns: str = ""
    privileged: bool = False


@dataclass
class Box:
    """A running container."""

    runtime: object
    id: str


class Front(abc.ABC):
    """start() once, then the rest in any order, stop() at the end. A Box is removed with remove().

    base      folder of the run, short enough for sockets
    token     what all names hold
    rootfs    a kata_bench.rootfs.Rootfs
    """

    name = ""
    has_steps = False

    def __init__(self, base, token, rootfs, settings):
        self.base, self.token, self.rootfs, self.settings = base, token, rootfs, settings
        self._numbers = itertools.count(1)

    def new_id(self, word="c"):
        return f"{word}{next(self._numbers)}-{self.token}"

    def enter(self, argv):
        """argv in the namespaces in which this front end's runtimes run."""
        return argv

    def wrapper(self, runtime):
        """A program that calls the runtime with its words and environment; its own where none is needed."""
        if len(runtime.argv) == 1 and not runtime.env:
            return runtime.argv[0]
        path = f"{self.base}/bin/{runtime.word}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        env = [f"{key}={value}" for key, value in runtime.env.items()]
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\nexec env {shlex.join([*env, *runtime.argv])} \"$@\"\n")
        os.chmod(path, 0o755)
        return path

    @abc.abstractmethod
    def start(self, runtimes):
        """Starts what stands between; the runtimes are those that will be asked for."""

    @abc.abstractmethod
    def stop(self):
        """Ends it."""

    @abc.abstractmethod
    def refuses(self, runtime):
        """Why a runtime cannot be reached this way; empty when it can."""

    @abc.abstractmethod
    def fallback(self, runtime):
        """({attribute: value}, what it means) to try when the runtime does not run as it is; or None."""

    @abc.abstractmethod
    def begin_run(self, runtime, command):
        """A Running that creates a container, runs the command in it and removes it."""

    @abc.abstractmethod
    def start_box(self, runtime, needs, timeout):
        """A Box that sleeps."""

    @abc.abstractmethod
    def exec_argv(self, box, command):
        """(argv, environment) that runs the command in the box."""

    @abc.abstractmethod
    def remove(self, box, timeout=60):
        """Ends and removes it."""

    @abc.abstractmethod
    def forget_failed(self, runtime):
        """Removes what a run that failed or hung may have left of its runtime."""

    @abc.abstractmethod
    def init_pid(self, box):
        """The container's process, by its number here."""
