# SPDX-License-Identifier: Apache-2.0
"""A guest that lies: instead of the agent, a program that fills the agent channel with nonsense.

The guest is the product's kernel with an initrd made here: busybox and a script. Create must fail in
bounded time, and the shim must neither crash nor grow.
"""

import gzip
import os
import struct
import threading

from support import grpc
from support.case import ContainerdCase, only
from support.ttrpc import RpcError
from testbed import image
from testbed.process import resident_bytes, wait_until

PROLOGUE = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /dev /proc /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
port() { for p in /dev/vport*; do echo $p; return; done; }
until test -c "$(port)"; do busybox usleep 10000; done
echo hostile guest: writing to $(port)
"""

# Frames: length (4 bytes), stream (4), type (1), flags (1), then the body.
GUESTS = {
    "garbage": "busybox cat /dev/urandom > $(port)",
    "zeros": "busybox cat /dev/zero > $(port)",
    "huge_frames": "while :; do printf '\\377\\377\\377\\377\\000\\000\\000\\001\\002\\000'; "
                   "busybox head -c 1000000 /dev/zero; done > $(port)",
    "truncated_frames": "printf '\\000\\000\\377\\377\\000\\000\\000\\001\\002\\000abc' > $(port)",
    "wrong_streams": "while :; do printf '\\000\\000\\000\\002\\177\\000\\000\\003\\002\\000\\022\\000'; "
                     "done > $(port)",
    "silence": ":",
}


def cpio(files):
    """A newc archive of {name: (mode, data)}."""
    out = bytearray()
    for number, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


@only("kata", "only a VM has an agent channel")
class HostileGuest(ContainerdCase):
    def initrd(self, name):
        with open(image.busybox(), "rb") as file:
            busybox = file.read()
        script = PROLOGUE + GUESTS[name] + "\nwhile :; do busybox sleep 1000; done\n"
        path = f"{self.containerd.base}/hostile-{name}.img"
        folders = {folder: (0o40755, b"") for folder in ("bin", "dev", "proc", "sys")}
        with open(path, "wb") as file:
            file.write(gzip.compress(cpio({**folders, "bin/busybox": (0o100755, busybox),
                                           "init": (0o100755, script.encode())}), 1))
        return path

    def strike(self, guest, seconds):
        """Create answers with an error within `seconds`; meanwhile the shim stays small."""
        config = self.runtime.write_config(f"{self.containerd.base}/hostile.toml",
                                           agent={"dial_timeout": 8}, initrd=self.initrd(guest))
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type,
                            "--runtime-config-path", config, self.image, self.name, "true", check=True)
        outcome, largest = [], 0
        def create():
            try:
                grpc.create_task(self.containerd, self.name, timeout=seconds + 30)
                outcome.append("created")
            except RpcError as error:
                outcome.append(error)
        thread = threading.Thread(target=create)
        thread.start()
        shim = wait_until(lambda: self.runtime.shim_pid(self.containerd, self.name), 10, "the shim")
        def over():
            nonlocal largest
            try:
                largest = max(largest, resident_bytes(shim)[0])
            except (OSError, KeyError):
                pass
            return outcome
        wait_until(over, seconds, f"Create fails with a guest of {guest}")
        thread.join()
        self.assertIsInstance(outcome[0], RpcError, "a guest without an agent has no containers")
        self.assertLess(largest, 48 << 20, "resident memory of the shim")
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_garbage_frames(self):
        self.strike("garbage", 20)

    def test_zeros(self):
        self.strike("zeros", 20)

    def test_huge_frames(self):
        self.strike("huge_frames", 20)

    def test_truncated_frames(self):
        self.strike("truncated_frames", 20)

    def test_answers_to_calls_that_nobody_made(self):
        self.strike("wrong_streams", 20)

    def test_silence(self):
        self.strike("silence", 20)
