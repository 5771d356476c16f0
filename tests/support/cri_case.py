# SPDX-License-Identifier: Apache-2.0
"""The base of tests of containerd's CRI plugin, driven by crictl as the kubelet does."""

import glob
import json
import os
import subprocess
import unittest

from testbed import debs, image, isolation
from testbed.network import fetch_plugins
from testbed.process import run, wait_until

from .case import ContainerdCase, Settings

NETWORK = {"cniVersion": "0.4.0", "name": "kt", "plugins": [
    {"type": "bridge", "bridge": "ktcri0", "isGateway": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.97.0.0/24"}]],
              "routes": [{"dst": "0.0.0.0/0"}]}}]}


def fetch_crictl():
    """Path of the program, built on first use."""
    return debs.script("fetch-cri-tools", "crictl").split(maxsplit=1)[1]


class CriCase(ContainerdCase):
    """Pods of one kind, with a bridge of CNI's, in mount and network namespaces of their own.

    sandboxer    "shim": of the sandbox API, which containerd 2 knows; "podsandbox": with a pause container
    """

    sandboxer = None

    @classmethod
    def setUpClass(cls):
        if cls.sandboxer is None:
            raise unittest.SkipTest("the base of others")
        if cls.sandboxer == "shim" and Settings.runtime.name == "runc":
            raise unittest.SkipTest("runc's shim has pods of a pause container alone")
        if cls.sandboxer == "shim" and not Settings.series.startswith("2"):
            raise unittest.SkipTest("sandboxes of shims are switched on in containerd 2")
        if Settings.series == "1.6":
            raise unittest.SkipTest("its CRI is one that this crictl does not speak in full")
        cls.program, plugins = fetch_crictl(), fetch_plugins()
        cls.cri = {"sandboxer": cls.sandboxer, "plugins": plugins}
        cls.enterClassContext(isolation.own_namespaces(Settings.runtime.files(), ["/var/lib"]))
        os.makedirs("/run/netns")
        super().setUpClass()

    @classmethod
    def set_up_bed(cls):
        os.makedirs(f"{cls.containerd.base}/cni", exist_ok=True)
        with open(f"{cls.containerd.base}/cni/10-kt.conflist", "w") as file:
            json.dump(NETWORK, file)
        with open(f"{cls.containerd.base}/crictl.yaml", "w") as file:
            file.write("".join(f"{which}-endpoint: unix://{cls.containerd.address}\n"
                               for which in ("runtime", "image")))
        cls.addClassCleanup(run, ["ip", "link", "delete", NETWORK["plugins"][0]["bridge"]], 30)
        cls.addClassCleanup(cls.crictl, "rmp", "-a", "-f")
        for name, options in ((image.NAME, {}), (image.PAUSE, {"settings": image.PAUSE_SETTINGS})):
            path = image.write_tar(f"{cls.containerd.base}/image.tar", name, **options)
            cls.containerd.ctr("-n", "k8s.io", "image", "import", path, check=True)
            wait_until(lambda: name.rsplit(":", 1)[0] in cls.crictl("images").out, 30,
                       lambda: f"CRI knows the image: {cls.crictl('images')}")

    @classmethod
    def crictl_argv(cls, *arguments, timeout=120):
        return [cls.program, "--config", f"{cls.containerd.base}/crictl.yaml", "--timeout", f"{timeout}s",
                *map(str, arguments)]

    @classmethod
    def crictl(cls, *arguments, timeout=120, stdin=b""):
        return run(cls.crictl_argv(*arguments, timeout=timeout), timeout + 10,
                   env=cls.containerd.env, stdin=stdin)

    def ask(self, *arguments, **options):
        done = self.crictl(*arguments, **options)
        self.assert_code(done, 0)
        return done.out

    def ask_json(self, *arguments):
        return json.loads(self.ask(*arguments))

    def begin(self, *arguments, **options):
        """A crictl that runs on, until the end of the test."""
        child = subprocess.Popen(self.crictl_argv(*arguments), env=self.containerd.env,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 **{"stdin": subprocess.PIPE, **options})

        def end():
            child.kill()
            child.communicate()
        self.addCleanup(end)
        return child

    def write(self, name, config):
        path = f"{self.containerd.base}/{self.name}-{name}.json"
        with open(path, "w") as file:
            json.dump(config, file)
        return path

    def pod_config(self, **more):
        return {"metadata": {"name": self.name, "namespace": "default", "uid": self.name, "attempt": 1},
                "hostname": "web-0", "log_directory": f"{self.containerd.base}/logs-{self.name}",
                "dns_config": {"servers": ["10.97.0.1"], "searches": ["kt.local"]}, "linux": {}, **more}

    def run_pod(self, **more):
        """The pod's id, and the file that says what it is."""
        path = self.write("pod", self.pod_config(**more))
        pod = self.ask("runp", "-r", "kata", path).strip()
        self.addCleanup(self.crictl, "rmp", "-f", pod)
        return pod, path

    def create(self, pod, path, word, command, **more):
        config = self.write(word, {"metadata": {"name": word}, "image": {"image": image.NAME},
                                   "command": command, "log_path": f"{word}.log", "linux": {}, **more})
        return self.ask("create", "--no-pull", pod, config, path).strip()

    def start(self, pod, path, word, command, **more):
        container = self.create(pod, path, word, command, **more)
        self.ask("start", container)
        return container

    def exec(self, container, *command):
        # crictl adds empty lines of its own.
        return self.ask("exec", "-s", container, *command).rstrip("\n")

    def pod_state(self, pod):
        return self.ask_json("inspectp", pod)["status"]["state"]

    def status(self, container):
        return self.ask_json("inspect", container)["status"]

    def wait_end(self, container, seconds=30):
        """Its status, once it has ended."""
        wait_until(lambda: self.status(container)["state"] == "CONTAINER_EXITED", seconds,
                   lambda: f"end of the container: {self.status(container)}")
        return self.status(container)

    def shims(self):
        """Pids of shims that live on a moment later."""
        def alive():
            return [path for path in glob.glob("/proc/[0-9]*/cmdline") if self.is_shim(path)]
        try:
            wait_until(lambda: not alive(), 15, "shims end")
        except AssertionError:
            pass
        return alive()

    def is_shim(self, path):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return False
        return b"containerd-shim-" in words[0] and self.containerd.address.encode() in words
