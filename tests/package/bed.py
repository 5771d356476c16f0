# SPDX-License-Identifier: Apache-2.0
"""A Debian in which the packages are installed, with a containerd of its own."""

import glob
import io
import os
import re
import shutil
import subprocess
import tarfile
import unittest

from support.chroot import Chroot, differences
from testbed import image
from testbed.process import BedError, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASES, PACKAGE_OPTIONS, DEBS = [], [], None  # set by run
# What hosts of containers have. Debian 12 has Docker's client in the daemon's package.
FRONT_ENDS = {"12": ("busybox-static", "containerd", "dbus", "docker.io", "iptables", "runc", "systemd",
                     "xz-utils")}
FRONT_ENDS["13"] = (*FRONT_ENDS["12"], "docker-cli")
RUNTIME = "io.containerd.kata.v2"
# So that two-core machines without KVM have room for several; and what purging must not touch.
SETTINGS = {"/etc/kata-containers/configuration.toml": "[hypervisor.qemu]\ndefault_memory = 256\n",
            "/etc/kata-containers/config.d/local.toml": "[runtime]\nlog_level = \"info\"\n"}
# What apt, dpkg and daemons of others write.
IGNORED = re.compile(r"^/var/(log|cache|lib/apt|lib/containerd|lib/docker|tmp)(/|$)|"
                     r"^/var/lib/dpkg/(status|available|diversions|statoverride|lock|triggers/Lock)|"
                     r"^/var/lib/dpkg/info/format$|^/etc/ld\.so\.cache$|"
                     r"^/var/lib/(systemd/(timers|random-seed|coredump)|private|dbus)|^/run/(?!kata|vc)|^/(root|opt)/")


def make_packages(root, output=None, environment=None, options=()):
    """Runs scripts/package in the tree `root` and returns the folder with what it made."""
    output = output or f"{root}/build/packages"
    done = subprocess.run([f"{root}/scripts/package", "--output", output, *options, *PACKAGE_OPTIONS],
                          env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BedError("scripts/package failed")
    return output


def packages_of(folder, debug=False):
    return sorted(path for path in glob.glob(f"{folder}/kata-cpp*.deb")
                  if debug or "-dbgsym_" not in path)


class PackageCase(unittest.TestCase):
    """A test per release: test methods take it from self.each_release()."""

    maxDiff = None

    def each_release(self, **options):
        """A started Host, with these options, for each release, one after the other."""
        for release in RELEASES:
            with self.subTest(debian=release):
                host = Host(release, **options)
                self.addCleanup(host.destroy)  # when this is interrupted
                try:
                    yield host.start()
                finally:
                    host.destroy()


class Host(Chroot):
    """bare    a minimal system, without front ends"""

    def __init__(self, release, bare=False, **options):
        super().__init__(release, () if bare else FRONT_ENDS[release], **options)
        self.daemons = []

    def start(self):
        super().start()
        self.run("apt-get", "update", "-q", timeout=600)
        return self

    def apt(self, *arguments):
        return self.run("apt-get", "-q", "-y", "--no-install-recommends", *arguments, timeout=1200)

    def copy(self, debs):
        """Paths inside of packages that are put there."""
        self.run("rm", "-rf", "/tmp/debs")
        self.run("mkdir", "-p", "/tmp/debs")
        for path in debs:
            shutil.copy(path, self.path("/tmp/debs/"))
        return [f"/tmp/debs/{os.path.basename(path)}" for path in debs]

    def install(self, debs):
        return self.apt("install", *self.copy(debs))

    def satisfy_dependencies(self, debs):
        """Installs all that the packages need but themselves."""
        wanted = []
        for path in debs:
            fields = subprocess.check_output(["dpkg-deb", "-f", path, "Depends"], text=True)
            wanted += [group.strip() for group in fields.split(",")
                       if not group.strip().startswith("kata-cpp")]
        self.apt("satisfy", *sorted(set(filter(None, wanted))))

    def write(self, files):
        for path, text in files.items():
            os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
            with open(self.path(path), "w") as file:
                file.write(text)

    def look(self):
        return self.snapshot(IGNORED)

    # -- containers -----------------------------------------------------------------------------

    def start_daemon(self, *argv, ready):
        """A daemon in the chroot's own network; ready() tells when it serves."""
        log = open(f"{self.scratch}/{os.path.basename(argv[0])}.log", "ab")
        process = self.popen(*argv, network=True, stdout=log, stderr=log)
        self.daemons.append(process)
        def serves():
            if process.poll() is not None:
                raise BedError(f"{argv[0]} ended: {self.log_of(argv[0])}")
            return ready()
        wait_until(serves, 90, lambda: f"{argv[0]} serves: {self.log_of(argv[0])}")
        return process

    def log_of(self, program, size=3000):
        with open(f"{self.scratch}/{os.path.basename(program)}.log", errors="replace") as file:
            return file.read()[-size:]

    def end_daemon(self, process):
        # The process here is nsenter, whose child has the daemon's place in its namespace.
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid)])
        process.terminate()
        process.wait(30)
        self.daemons.remove(process)

    def start_containerd(self):
        self.write({"/root/containerd.toml": 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'})
        daemon = self.start_daemon("containerd", "--config", "/root/containerd.toml",
                                   ready=lambda: self.ctr("version", check=False).code == 0)
        image.write_tar(f"{self.scratch}/image.tar")
        shutil.copy(f"{self.scratch}/image.tar", self.path("/tmp/"))
        self.ctr("image", "import", "/tmp/image.tar")
        return daemon

    def docker(self, *arguments, check=True, stdin=b""):
        return self.run("docker", *arguments, check=check, timeout=240, stdin=stdin, network=True)

    def import_busybox(self):
        """The tests' busybox, under the name that everybody knows."""
        tree = image.write_tree(f"{self.scratch}/busybox")
        with io.BytesIO() as data:
            with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as tar:
                tar.add(tree, arcname=".")
            self.docker("import", "--change", 'CMD ["/bin/sh"]', "-", "busybox:latest", stdin=data.getvalue())

    def ctr(self, *arguments, check=True, timeout=180):
        return self.run("ctr", *arguments, check=check, timeout=timeout, network=True)

    def ctr_run(self, name, *command, detached=False):
        return self.ctr("run", *(["-d"] if detached else ["--rm"]), "--runtime", RUNTIME,
                        image.NAME, name, *command)

    def shim_of(self, name):
        """Process id, here, of a container's shim."""
        for path in glob.glob(self.path("/proc/[0-9]*/cmdline")):
            try:
                with open(path) as file:
                    argv = file.read().split("\0")
            except OSError:
                continue
            if "containerd-shim-kata" in argv[0] and name in argv:
                return path.split("/")[-2]
        return None

    def destroy(self):
        for process in list(self.daemons):
            self.end_daemon(process)
        super().destroy()
