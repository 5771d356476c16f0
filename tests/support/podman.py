# SPDX-License-Identifier: Apache-2.0
"""Debian's Podman, laid over the system for one mount namespace, with storage of its own.

It makes bridges, locks in /dev/shm and files below /run, so it needs what
isolation.isolate(..., network=True) or isolation.own_namespaces() gives; nothing of it can be seen
outside.
"""

import contextlib
import glob
import os
import subprocess

from testbed import debs, image, isolation
from testbed.process import BedError, run

# With the libraries that a small Debian lacks.
PACKAGES = ("podman", "conmon", "golang-github-containers-common", "golang-github-containers-image",
            "catatonit", "buildah", "netavark", "aardvark-dns", "runc", "libsubid4", "libgpgme11", "libassuan0",
            "libdevmapper1.02.1")

CREATED = "2022-06-15T12:00:00Z"
# Where Podman puts containers below with the manager "cgroupfs".
CGROUP_PARENT = "libpod_parent"

CONTAINERS_CONF = """\
[containers]
# A host without CAP_SYS_RESOURCE cannot raise limits to Podman's own.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{name}"
runtime_supports_json = ["crun", "runc", "{name}"]
helper_binaries_dir = ["/usr/lib/podman", "/usr/bin"]
[engine.runtimes]
{name} = ["/usr/bin/{name}"]
[network]
network_backend = "netavark"
"""


def fetch():
    """{package: folder} of everything in PACKAGES, in the cache folder."""
    return {package: debs.unpack(package) for package in PACKAGES}


class Podman:
    """`program` is a script that anybody may call as podman.

    folder     of this bed, on a file system that overlay can write to
    packages   {package: folder that it is unpacked in}
    runtime    path of the OCI runtime; Podman knows it by its file name
    files      more files below /etc: {path: content}
    """

    def __init__(self, folder, packages, runtime, files=None):
        with open("/proc/self/mountinfo") as file:
            if any(" / /run " in line and " shared:" in line for line in file):
                raise BedError("Podman is laid over the system only in a namespace of its own")
        self.folder, self.name = folder, os.path.basename(runtime)
        for part in ("usr/bin", "etc/containers", "work", "storage", "run", "tmp", "bin"):
            os.makedirs(f"{folder}/{part}")
        os.chmod(f"{folder}/tmp", 0o1777)
        for name in {self.name, "containerd-shim-kata-v2", "kata-stand-in"}:
            path = f"{os.path.dirname(runtime)}/{name}"
            if os.path.exists(path):
                os.symlink(path, f"{folder}/usr/bin/{name}")
        # Else Podman would choose by what it finds, when a test replaces the configuration.
        with open(f"{folder}/storage/defaultNetworkBackend", "w") as file:
            file.write("netavark")
        self._cover_cgroups()
        self._lay_over("usr", packages)
        self._lay_over("etc", packages)
        for path, content in {
                "containers/containers.conf": CONTAINERS_CONF.format(name=self.name),
                "containers/storage.conf": f'[storage]\ndriver = "overlay"\n'
                                           f'graphroot = "{folder}/storage"\n'
                                           f'runroot = "{folder}/run"\n',
                "containers/registries.conf": "unqualified-search-registries = []\n",
                **(files or {})}.items():
            os.makedirs(os.path.dirname(f"/etc/{path}"), exist_ok=True)
            with open(f"/etc/{path}", "w") as file:
                file.write(content)
        self.program = f"{folder}/bin/podman"
        with open(self.program, "w") as file:
            # A configuration that a test names replaces the one above, its runtime as well.
            file.write(f'#!/bin/sh\nif [ -n "$CONTAINERS_CONF" ] && '
                       f'! grep -q "^ *runtime *=" "$CONTAINERS_CONF"; then\n'
                       f'  set -- --runtime /usr/bin/{self.name} "$@"\nfi\n'
                       # Nothing here could run healthchecks at their time but systemd.
                       f'DISABLE_HC_SYSTEMD=true exec /usr/bin/podman "$@"\n')
        os.chmod(self.program, 0o755)

    def _cover_cgroups(self):
        """Beside the hierarchies of version 1 Podman makes folders for those that it misses."""
        top, own = "/sys/fs/cgroup", f"{self.folder}/work/cgroup"
        if os.path.exists(f"{top}/cgroup.procs"):
            return
        os.makedirs(own)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", own], check=True)
        for name in os.listdir(top):
            if os.path.islink(f"{top}/{name}"):
                os.symlink(os.readlink(f"{top}/{name}"), f"{own}/{name}")
            elif os.path.ismount(f"{top}/{name}"):
                os.mkdir(f"{own}/{name}")
                subprocess.run(["mount", "--bind", f"{top}/{name}", f"{own}/{name}"], check=True)
        subprocess.run(["mount", "--move", own, top], check=True)

    def _lay_over(self, name, packages):
        """Packages and then the system, with this bed's own folder to be written to."""
        lower = []
        for package, path in packages.items():
            if os.path.isdir(f"{path}/{name}"):
                # Short, and without what mount takes for its own: a colon, a comma, a space.
                lower.append(f"{self.folder}/work/{package}-{name}")
                os.symlink(f"{path}/{name}", lower[-1])
        os.makedirs(f"{self.folder}/work/{name}")
        options = (f"lowerdir={':'.join([*lower, f'/{name}'])},upperdir={self.folder}/{name},"
                   f"workdir={self.folder}/work/{name}")
        new = f"{self.folder}/work/new-{name}"
        os.mkdir(new)
        # The tree and the cache may lie there, in a file system of their own.
        for command in (["mount", "-t", "overlay", "overlay", "-o", options, new],
                        *isolation.show(new, f"/{name}", [debs.ROOT, debs.cache()]),
                        ["mount", "-n", "--move", new, f"/{name}"]):
            subprocess.run(command, check=True)

    def __call__(self, *words, timeout=200, stdin=b"", env=None):
        """Runs a Podman command to its end."""
        return run([self.program, *map(str, words)], timeout, stdin=stdin, env=env)

    def load(self, name, **options):
        """Makes an image; see image.write_tar for the options."""
        path = image.write_tar(f"{self.folder}/tmp/image.tar", name, created=CREATED, **options)
        done = self("load", "-q", "-i", path)
        os.unlink(path)
        if done.code != 0:
            raise BedError(f"podman load: {done!r}")

    def clean(self):
        """Removes every pod and container, unmounts the storage, and uncovers the system."""
        self("pod", "rm", "--all", "--force", "-t", "0")
        self("rm", "--all", "--force", "-t", "0")
        for top in glob.glob(f"/sys/fs/cgroup/*/{CGROUP_PARENT}") + \
                glob.glob(f"/sys/fs/cgroup/{CGROUP_PARENT}"):
            for folder, _, _ in os.walk(top, topdown=False):
                # Another bed's containers stay.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        for point in (f"{self.folder}/storage/overlay", "/usr", "/etc", "/sys/fs/cgroup"):
            subprocess.run(["umount", "-l", point], capture_output=True)
