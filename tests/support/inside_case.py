# SPDX-License-Identifier: Apache-2.0
"""The bases of tests with engines in privileged containers, whose data directories are disks of the guest
(docs/docker.md).
"""

import json
import os
import signal
import tarfile
import time

from testbed import image
from testbed.docker import IMAGE, SHIM
from testbed.process import run, wait_until

from . import chroot
from .docker_case import DockerCase

SECONDS = 240
DISK = "kata-disk.ext4"
LOG = "/var/log/dockerd.log"


def up(*options):
    """A script that starts dockerd inside, and ends when that answers."""
    return f"""\
rm -f /var/run/docker.pid
dockerd {' '.join(options)} >>{LOG} 2>&1 &
for i in $(seq {SECONDS}); do
  docker version >/dev/null 2>&1 && exit 0
  kill -0 $! 2>/dev/null || break
  sleep 0.5
done
tail -20 {LOG} >&2
exit 1"""


UP = up()


class InsideCase(DockerCase):
    """Privileged containers of the image `outer`."""

    door = SHIM
    outer = IMAGE
    command = ("sleep", "infinity")

    def inside(self, *lines, name=None, check=True):
        """A script in the outer container."""
        return self.docker("exec", name or self.name, "sh", "-ec", "\n".join(lines), timeout=SECONDS, check=check)

    def start(self, *options, name=None, plain=False, check=True):
        """plain    in runc's"""
        return self.cli("run", "-d", "--name", name or self.name, "--privileged", *options, self.outer,
                        *self.command, plain=plain, check=check)

    def volume(self):
        """A named volume: (name, folder on the host)."""
        name = self.bed.new_name("v")
        self.docker("volume", "create", name, check=True)
        self.addCleanup(self.docker, "volume", "rm", "-f", name)
        folder = self.docker("volume", "inspect", "-f", "{{.Mountpoint}}", name, check=True).out.strip()
        return name, folder

    def on_host(self, *argv):
        done = run(self.bed.entered(*argv), 60)
        self.assert_code(done, 0)
        return done.out

    def kill_machine(self):
        with open(f"/run/vc/sbs/{self.inspect('.Id')}/record.json") as file:
            pid = next(each["pid"] for each in json.load(file)["processes"] if each["role"] == "vmm")
        os.kill(self.bed.outer_pid(pid), signal.SIGKILL)
        self.wait_state(".State.Running", False)


class EngineCase(InsideCase):
    """The outer image is a small Debian `release` with `packages`; a tar of the tests' busybox is in it."""

    release, packages = "12", ()
    outer = "kata/debian-inside"
    memory_mib = 2048  # of the machine, as installed

    @classmethod
    def set_up_bed(cls):
        if cls.runtime.is_vm:
            cls.runtime.be_patient(cls.settings, default_memory=cls.memory_mib)
        path = f"{cls.bed.base}/outer.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(chroot.base(cls.release, cls.packages), arcname=".")
        cls.bed.docker("import", path, cls.outer, check=True)
        os.unlink(path)
        cls.inner = f"{cls.bed.base}/inner.tar"
        tree = image.write_tree(f"{cls.bed.base}/inner")
        with tarfile.open(cls.inner, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(tree, arcname=".")

    def setUp(self):
        super().setUp()
        self.steps = []

    def start(self, *options, **more):
        return super().start("-v", f"{self.inner}:/inner.tar:ro", *options, **more)

    def step(self, what, *lines):
        """The output of a script in the outer container; its seconds go into the report."""
        begun = time.monotonic()
        done = self.inside(*lines)
        self.steps.append(f"{what} {time.monotonic() - begun:.1f}")
        return done.out

    def report(self):
        print(f"     {self.runtime.name}: {', '.join(self.steps)} s", flush=True)

    def assert_published(self, port, text):
        """The outer container answers so at a port, from outside."""
        address = self.inspect(".NetworkSettings.Networks.bridge.IPAddress")
        fetch = self.bed.entered("busybox", "wget", "-q", "-O", "-", f"http://{address}:{port}/")
        wait_until(lambda: run(fetch, 20).out == text, 60, lambda: f"the page is served: {run(fetch, 20)}")
