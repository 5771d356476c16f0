# SPDX-License-Identifier: Apache-2.0
"""Containers from a config.json of our own, which ctr's options have no words for."""

import json
import os

from testbed import image


class SpecRunner:
    """Makes specifications below a bed's folder and runs them with its containerd.

    Every specification begins as containerd's default one, with the image's tree as root file
    system, a shell script as program, and is then edited by the test.
    """

    def __init__(self, containerd):
        self._containerd = containerd
        self._default = json.loads(containerd.ctr("oci", "spec", check=True).out)

    def new(self, name, script, tree=None):
        """A specification as a dictionary; `tree` is a root file system, by default a new one."""
        spec = json.loads(json.dumps(self._default))
        spec["root"] = {"path": tree or self.tree(name), "readonly": False}
        spec["process"].update({"args": ["sh", "-c", script], "terminal": False, "cwd": "/",
                                "rlimits": []})
        spec["process"]["env"] = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        spec["linux"]["cgroupsPath"] = f"/{self._containerd.namespace}/{name}"
        return spec

    def tree(self, name):
        return image.write_tree(f"{self._containerd.base}/tree-{name}")

    def arguments(self, name, spec, *flags):
        path = f"{self._containerd.base}/spec-{name}.json"
        with open(path, "w") as file:
            json.dump(spec, file)
        return ["run", "--runtime", self._containerd.runtime.type, "--fifo-dir",
                f"{self._containerd.base}/fifo", "--config", path, *flags, name]

    def run(self, name, spec, *flags, **options):
        """ctr run --config; the answer is as Containerd.run's."""
        return self._containerd.ctr(*self.arguments(name, spec, *flags), **options)


def capabilities(*names):
    """All five sets with the same names."""
    return {kind: list(names) for kind in
            ("bounding", "effective", "inheritable", "permitted", "ambient")}


def make_executable(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path
