# SPDX-License-Identifier: Apache-2.0
"""The table of docs/volumes.md: what each kind of mount can do, by tests/programs/supports.c.

KATA_WRITE_TABLE=1 tests/e2e/run -k volume_table writes it.
"""

import glob
import os
import unittest

from support.case import Settings, only
from support.layers import need_layers
from test_root_disk import DiskCase, make_disk
from testbed import debs
from testbed.process import BedError, wait_until

PAGE = "docs/volumes.md"
BEGIN, END = "<!-- the table of supports.c -->\n", "<!-- its end -->\n"
COLUMNS = ["runc: bind mount, ext4", "runc: root", "bind mount, virtiofsd in C", "in Rust, 1.13",
           "root of layers", "shared root", "disk", "`tmpfs`", "copy (`shared_fs = \"none\"`)"]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@only("kata", "its table has a column for runc")
class VolumeTable(DiskCase):
    @classmethod
    def set_up_bed(cls):
        need_layers(cls.runtime)
        cls.supports = cls.compiled("supports")
        cls.calls = None

    def binds(self, **folders):
        flags = ["--mount", f"type=bind,src={self.supports},dst=/supports,options=rbind:ro"]
        for name, source in folders.items():
            flags += ["--mount", f"type=bind,src={source},dst=/{name},options=rbind:rw"]
        return flags

    def folder(self, name):
        path = f"{self.containerd.base}/{self.name}-{name}"
        os.makedirs(path, exist_ok=True)
        return path

    def columns(self, output):
        """The columns of an output, each a list; the calls are the same in all of them."""
        rows = [cells(line) for line in output.splitlines()]
        calls = [row[0] for row in rows]
        self.assertTrue(calls, "it says nothing")
        self.assertEqual(self.calls or calls, calls)
        type(self).calls = calls
        return [list(column) for column in zip(*(row[1:] for row in rows), strict=True)]

    def run_here(self, folders, *flags, runtime=None):
        """By `ctr run`, on the image's own root."""
        kind = ["--runtime", runtime] if runtime else []
        done = self.containerd.run(self.containerd.new_id(), ["/supports", *folders], "--rm",
                                   "--privileged", *kind, *flags, timeout=240)
        self.assert_code(done, 0)
        return self.columns(done.out)

    def by_daemon_in_rust(self):
        try:
            program = debs.script("fetch-virtiofsd", "trixie")
        except BedError as error:
            raise unittest.SkipTest(f"no virtiofsd written in Rust here: {error}") from error
        config = self.runtime.write_config(f"{self.containerd.base}/rust.toml",
                                           virtio_fs_daemon=program)
        return self.run_here(["/v"], *self.binds(v=self.folder("rust")),
                             "--runtime-config-path", config)

    def copied(self):
        self.config = self.runtime.write_config(f"{self.containerd.base}/none.toml", shared_fs="none",
                                                virtio_fs_daemon="/nonexistent")
        self.disk = make_disk(f"{self.containerd.base}/{self.name}.img", mib=64)
        return self.columns(self.run_on("/supports / /v", "--privileged",
                                        *self.binds(v=self.folder("copy"))))

    def measure(self):
        # Its shim keeps a namespace's folder once made.
        self.addCleanup(os.rmdir, f"/run/containerd/runc/{self.containerd.namespace}")
        runc = self.run_here(["/v", "/root"], *self.binds(v=self.folder("runc")),
                             runtime="io.containerd.runc.v2")
        bind, layers, tmpfs = self.of_layers()
        root = self.with_shared_root()
        disk, copy = self.copied()
        return [*runc, bind, *self.by_daemon_in_rust(), layers, root, disk, tmpfs, copy]

    def of_layers(self):
        """The second container's root is made of the images that the first one has had made."""
        self.assert_code(self.containerd.run(self.containerd.new_id(), ["true"], "--rm"), 0)
        wait_until(lambda: glob.glob(f"{self.containerd.base}/layers/[0-9a-f]*/image"), 120, "an image")
        return self.run_here(["/v", "/root", "/t"], *self.binds(v=self.folder("bind")),
                             "--mount", "type=tmpfs,src=tmpfs,dst=/t,options=rw")

    def with_shared_root(self):
        config = self.runtime.write_config(f"{self.containerd.base}/shared.toml",
                                           settings={"rootfs_layers": False})
        (root,) = self.run_here(["/root"], *self.binds(), "--runtime-config-path", config)
        return root

    def table(self, columns):
        rows = [[call, *row] for call, row in zip(self.calls, zip(*columns, strict=True), strict=True)]
        head = f"| | {' | '.join(COLUMNS)} |\n{'|---' * (1 + len(COLUMNS))}|\n"
        return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def test_each_kind_of_mount_can_do_what_the_documentation_says(self):
        table = self.table(self.measure())
        path = f"{Settings.root}/{PAGE}"
        with open(path) as file:
            before, rest = file.read().split(BEGIN)
        documented, after = rest.split(END)
        if os.environ.get("KATA_WRITE_TABLE") == "1":
            with open(path, "w") as file:
                file.write(before + BEGIN + table + END + after)
            return
        self.maxDiff = None
        self.assertEqual(documented.splitlines(), table.splitlines())
