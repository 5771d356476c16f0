# SPDX-License-Identifier: Apache-2.0
"""A shim driven without containerd's help: started by hand, asked over its own ttrpc socket.

For what containerd would refuse or repair before the shim sees it. A running private containerd
receives the events.
"""

import json
import os
import signal
import subprocess
import threading

from testbed import image
from testbed.process import run, wait_until

from . import protobuf, ttrpc


def spec(args, **process):
    """An OCI config as containerd would write it for a small container, as a dict."""
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "noNewPrivileges": True,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}], **process},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]}],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
    }


class Shim:
    """start(), then call() any Task method; stop() ends it whatever its state.

    containerd   a running support.containerd.Containerd
    config       the bundle's config.json: a dict, or bytes to be written as they are
    """

    def __init__(self, containerd, name, config):
        self.containerd, self.name = containerd, name
        self.namespace = containerd.namespace
        # runc's shim finds a container's folder by its id beside the working directory.
        self.bundle = f"{containerd.base}/bundles/{name}"
        os.makedirs(f"{self.bundle}/rootfs")
        self.tree = f"{self.bundle}/tree"
        image.write_tree(self.tree)
        if isinstance(config, dict):
            config.setdefault("linux", {}).setdefault("cgroupsPath", f"/{self.namespace}/{name}")
            config = json.dumps(config).encode()
        with open(f"{self.bundle}/config.json", "wb") as file:
            file.write(config)
        self.log = f"{self.bundle}/shim.log"
        os.mkfifo(f"{self.bundle}/log")
        self.client, self.version = None, 2

    def binary(self):
        name = "containerd-shim-" + "-".join(self.containerd.runtime.type.split(".")[-2:])
        for folder in self.containerd.env["PATH"].split(":"):
            if os.path.exists(f"{folder}/{name}"):
                return f"{folder}/{name}"
        raise FileNotFoundError(name)

    def action(self, *words, timeout=20, stdin=b"", env=None):
        """Runs the shim's program as containerd does; Finished."""
        address = self.containerd.address
        return run([self.binary(), "-namespace", self.namespace, "-address", address,
                    "-publish-binary", f"{self.containerd.bin_dir}/containerd", "-id", self.name,
                    *words], timeout, cwd=self.bundle, stdin=stdin,
                   env={**self.containerd.env, "TTRPC_ADDRESS": address + ".ttrpc",
                        "GRPC_ADDRESS": address, "NAMESPACE": self.namespace,
                        "MAX_SHIM_VERSION": "2" if self.containerd_is_old() else "3", **(env or {})})

    def containerd_is_old(self):
        return not self.containerd.bin_dir.split("containerd_")[-1].startswith("2")

    def start(self):
        """Starts the daemon and connects to it; the Finished of the start action."""
        self._drain_log()
        done = self.action("start")
        if done.code != 0:
            return done
        address = done.out.strip()
        if address.startswith("{"):
            answer = json.loads(address)
            self.version, address = answer["version"], answer["address"]
        self.address = address.removeprefix("unix://")
        self.client = ttrpc.Client(self.address)
        return done

    def _drain_log(self):
        # containerd keeps a reader on the shim's log for as long as the bundle exists.
        reader = os.open(f"{self.bundle}/log", os.O_RDWR)
        def copy():
            with open(self.log, "ab") as out:
                while data := os.read(reader, 65536):
                    out.write(data)
                    out.flush()
        threading.Thread(target=copy, daemon=True).start()

    def call(self, method, *fields, timeout=60):
        """The reply as {number: [values]}; RpcError for a status."""
        return protobuf.decode(self.client.call(f"containerd.task.v{self.version}.Task", method,
                                                protobuf.encode(*fields), timeout))

    def create(self, stdin="", stdout="", stderr="", rootfs=None, timeout=60):
        """Create with the busybox tree bound as the root; the pid."""
        if rootfs is None:
            rootfs = [protobuf.encode((1, "bind"), (2, self.tree), (4, ["rbind", "rw"]))]
        reply = self.call("Create", (1, self.name), (2, self.bundle), (3, rootfs), (5, stdin),
                          (6, stdout), (7, stderr), timeout=timeout)
        return protobuf.first(reply, 1)

    def pid(self):
        """The daemon's pid, as Connect tells it."""
        return protobuf.first(self.call("Connect", (1, self.name), timeout=10), 1)

    def stop(self):
        """Shutdown, else SIGKILL and the delete action, as containerd would."""
        if self.client:
            pid = 0
            try:
                pid = self.pid()
                self.call("Kill", (1, self.name), (3, int(signal.SIGKILL)), (4, 1), timeout=10)
            except (ttrpc.RpcError, ttrpc.ConnectionClosed, TimeoutError, OSError):
                pass
            for method, fields in (("Wait", [(1, self.name)]), ("Delete", [(1, self.name)]),
                                   ("Shutdown", [(1, self.name), (2, 1)])):
                try:
                    self.call(method, *fields, timeout=10)
                except (ttrpc.RpcError, ttrpc.ConnectionClosed, TimeoutError, OSError):
                    pass
            try:
                wait_until(lambda: not pid or not os.path.exists(f"/proc/{pid}"), 5, "shim ends")
            except AssertionError:
                pass
            self.client.close()
        self.action("-bundle", self.bundle, "delete")
        subprocess.run(["umount", "-l", f"{self.bundle}/rootfs"], capture_output=True)
