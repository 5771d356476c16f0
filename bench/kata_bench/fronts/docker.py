# SPDX-License-Identifier: Apache-2.0
"""Docker: a private dockerd with its containerd, which calls every runtime's command line."""

import os

from testbed.docker import SERIES, COMMAND_LINE, Docker, fetch
from testbed.runtime import Runtime as BedRuntime

from ..commands import Failed, Running, run
from .front import Box, Front
from .oci import without_cgroups

IMAGE = "kata/bench"


class _Bed(BedRuntime):
    def __init__(self, runtimes):
        self._runtimes = runtimes

    def path_dirs(self):
        return [folder for runtime in self._runtimes for folder in runtime.path_dirs]


class _Dockerd(Docker):
    def __init__(self, folder, runtimes, programs, token):
        self._programs = programs
        super().__init__(folder, _Bed(runtimes), COMMAND_LINE, token=token)

    def _runtime_options(self):
        return [word for name, program in self._programs.items()
                for word in ("--add-runtime", f"{name}={program}")]


class DockerFront(Front):
    name = "docker"

    def start(self, runtimes):
        containerd = self.settings["containerd"]
        _, version, folder = fetch(containerd)
        self.versions = {"docker": version, "of the series": SERIES[containerd]}
        self._folder, self._runtimes, self._bed = folder, runtimes, None
        self._start()

    def _start(self):
        programs = {f"b-{runtime.word}": self.wrapper(runtime) for runtime in self._runtimes
                    if runtime.argv}
        self._bed = _Dockerd(self._folder, self._runtimes, programs, self.token)
        self._bed.start()
        path = self.rootfs.write_tree_tar(f"{self.base}/tree.tar")
        self._bed.docker("import", path, IMAGE, timeout=300, check=True)
        os.unlink(path)

    def stop(self):
        self._bed.remove_all()
        self._bed.stop()
        self._bed.destroy()

    def refuses(self, runtime):
        return "" if runtime.argv else "Docker calls command lines here, and it has none"

    def fallback(self, runtime):
        return without_cgroups(runtime)

    def _argv(self, *words):
        return self._bed.argv(*words)

    def begin_run(self, runtime, command):
        return Running(self._argv("run", "--rm", "--runtime", f"b-{runtime.word}", IMAGE, *command),
                       self._bed.env)

    def start_box(self, runtime, needs, timeout):
        words = ["run", "--detach", "--runtime", f"b-{runtime.word}"]
        for here, inside in needs.mounts:
            words += ["--volume", f"{here}:{inside}"]
        for inside in needs.tmpfs:
            words += ["--tmpfs", inside]
        if needs.device:
            words += ["--device", needs.device]
        if needs.privileged:
            words += ["--privileged"]
        name = self.new_id("b")
        box = Box(runtime, name)
        try:
            run(self._argv(*words, "--name", name, IMAGE, "sleep", "1000000"), timeout, self._bed.env)
        except Failed:
            self.remove(box)
            raise
        return box

    def exec_argv(self, box, command):
        return self._argv("exec", box.id, *command), self._bed.env

    def remove(self, box, timeout=60):
        try:
            run(self._argv("rm", "--force", "--volumes", box.id), timeout, self._bed.env, check=False)
        except Failed:
            pass

    def forget_failed(self, runtime):
        """--rm removes what ends, and killing what is left ends it."""

    def address(self, box):
        return self._bed.inspect(box.id, ".NetworkSettings.IPAddress")

    def entered(self, *argv):
        """argv in the network that the daemon is in."""
        return self._bed.entered(*argv)

    def enter(self, argv):
        return self._bed.entered(*argv)

    def init_pid(self, box):
        return self._bed.inspect(box.id, ".State.Pid")
