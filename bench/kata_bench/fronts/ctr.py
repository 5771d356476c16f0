# SPDX-License-Identifier: Apache-2.0
"""containerd: a private daemon, driven with its ctr."""

import os

from testbed.containerd import Containerd, fetch
from testbed.runtime import Runtime as BedRuntime

from .. import rootfs
from ..commands import Failed, Running, run
from .front import Box, Front
from .oci import without_cgroups


class _Bed(BedRuntime):
    """What containerd's environment gets for all runtimes together."""

    def __init__(self, runtimes, config):
        self._runtimes, self._config = runtimes, config

    def path_dirs(self):
        return [folder for runtime in self._runtimes for folder in runtime.path_dirs]

    def environment(self):
        return {"KATA_CONF_FILE": self._config} if os.path.lexists(self._config) else {}


class Ctr(Front):
    name = "ctr"

    def start(self, runtimes):
        version, folder = fetch(self.settings["containerd"])
        self.versions = {"containerd": version}
        self._config = f"{self.base}/current.toml"
        for runtime in runtimes:
            self._aim_at(runtime)
        self._bed = Containerd(folder, _Bed(runtimes, self._config), token=self.token)
        self._bed.start()
        path = self.rootfs.write_image(f"{self.base}/image.tar")
        self._bed.ctr("image", "import", path, timeout=300, check=True)
        os.unlink(path)

    def stop(self):
        self._bed.stop()
        self._bed.destroy()

    def _aim_at(self, runtime):
        """A shim's `start` hears of no --runtime-config-path: it looks for the service of warm VMs where
        containerd's environment says, and that is the configuration of the runtime that is next.
        """
        if runtime.config:
            os.symlink(runtime.config, f"{self._config}.new")
            os.replace(f"{self._config}.new", self._config)

    def refuses(self, runtime):
        return "" if runtime.shim else "containerd has no shim for it"

    def fallback(self, runtime):
        if runtime.family == "runsc":
            return ({"shim": "io.containerd.runc.v2", "runc_binary": runtime.path},
                    "through runc's shim: its own does not start on this host")
        return without_cgroups(runtime)

    def _run_words(self, runtime, *flags):
        self._aim_at(runtime)
        words = ["run", "--runtime", runtime.shim, "--fifo-dir", f"{self._bed.base}/fifo"]
        if runtime.runc_binary:
            words += ["--runc-binary", self.wrapper(runtime)]
        if runtime.config:
            words += ["--runtime-config-path", runtime.config]
        return [*words, *flags, rootfs.NAME]

    def begin_run(self, runtime, command):
        return Running(self._bed.argv(*self._run_words(runtime, "--rm"), self.new_id("r"), *command),
                       self._bed.env)

    def start_box(self, runtime, needs, timeout):
        flags = ["-d"]
        for here, inside in needs.mounts:
            flags += ["--mount", f"type=bind,src={here},dst={inside},options=rbind:rw"]
        for inside in needs.tmpfs:
            flags += ["--mount", f"type=tmpfs,src=tmpfs,dst={inside},options=nosuid:nodev"]
        if needs.device:
            flags += ["--device", needs.device]
        if needs.netns:
            flags += ["--with-ns", f"network:{needs.netns}"]
        if needs.privileged:
            flags += ["--privileged"]
        box = Box(runtime, self.new_id("b"))
        try:
            run(self._bed.argv(*self._run_words(runtime, *flags), box.id, "sleep", "1000000"), timeout,
                self._bed.env)
        except Failed:
            self.remove(box)
            raise
        return box

    def exec_argv(self, box, command):
        return self._bed.argv("task", "exec", "--fifo-dir", f"{self._bed.base}/fifo", "--exec-id",
                              self.new_id("e"), box.id, *command), self._bed.env

    def remove(self, box, timeout=60):
        for words in (("task", "kill", "--signal", "SIGKILL", box.id),
                      ("task", "delete", "--force", box.id), ("container", "delete", box.id)):
            try:
                run(self._bed.argv(*words), timeout, self._bed.env, check=False)
            except Failed:
                pass

    def forget_failed(self, runtime):
        try:
            done = run(self._bed.argv("container", "list", "-q"), 20, self._bed.env, check=False)
        except Failed:
            return
        for name in done.out.split():
            if name.startswith("r"):
                self.remove(Box(runtime, name), timeout=20)

    def init_pid(self, box):
        return self._bed.tasks()[box.id][0]
