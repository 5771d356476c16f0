# SPDX-License-Identifier: Apache-2.0
"""containerd's erofs snapshotter: each layer is a file with an EROFS, which the guest can mount as it is."""

import hashlib
import json
import os
import struct
import subprocess
import unittest

from support import grpc, protobuf
from support.case import ContainerdCase, Settings, only
from support.layers import need_layers
from support.ttrpc import RpcError
from testbed import debs, image
from testbed.process import run

MANY = "example.invalid/kata/many:erofs"
HUNDRED = "example.invalid/kata/hundred:erofs"
FILES = {f"many/{number % 50}/{number}": f"content of {number}\n" for number in range(5000)}
FOLDERS = {"many": 0o755, **{f"many/{number}": 0o755 for number in range(50)}}
# A second layer that takes away, replaces and adds.
ABOVE = {"many/0/.wh.50": "", "many/1/1": "replaced\n", "added": "above\n"}
SUMS = "cd / && find many added -type f | sort | xargs sha256sum"
BLOCK = 4096


def expected_sums():
    files = {**FILES, **{path: text for path, text in ABOVE.items() if "/.wh." not in path}}
    del files["many/0/50"]
    return "".join(f"{hashlib.sha256(files[path].encode()).hexdigest()}  {path}\n"
                   for path in sorted(files))


def add_verity(path):
    """Puts a tree of dm-verity behind an image, as containerd's differ does where the kernel has it."""
    with open(path, "rb") as file:
        data = file.read()
    data += bytes(-len(data) % BLOCK)
    salt = bytes(32)
    level = b"".join(hashlib.sha256(salt + data[at:at + BLOCK]).digest()
                     for at in range(0, len(data), BLOCK))
    while len(level) > 32:
        level += bytes(-len(level) % BLOCK)
        level = b"".join(hashlib.sha256(salt + level[at:at + BLOCK]).digest()
                         for at in range(0, len(level), BLOCK))
    head = struct.pack("<8sII16s32sIIQH6s256s168s", b"verity", 1, 1, bytes(range(16)), b"sha256", BLOCK, BLOCK,
                       len(data) // BLOCK, len(salt), b"", salt, b"")
    with open(path, "wb") as file:
        file.write(data + head.ljust(BLOCK, b"\0"))
    with open(f"{path}.dmverity", "w") as file:
        json.dump({"roothash": level.hex(), "hashoffset": len(data)}, file)


class ErofsCase(ContainerdCase):
    snapshotter = "erofs"
    since = "2.1"
    layers = False

    @classmethod
    def setUpClass(cls):
        if tuple(map(int, Settings.series.split("."))) < tuple(map(int, cls.since.split("."))):
            raise unittest.SkipTest(f"containerd does this since {cls.since}")
        super().setUpClass()

    @classmethod
    def set_up_bed(cls):
        if cls.runtime.is_vm:
            cls.runtime.write_config(cls.runtime.config, settings={"rootfs_layers": cls.layers})
        cls.containerd.import_image(MANY, folders=FOLDERS, files=FILES, above=[ABOVE])

    def once(self, script, *flags, of=MANY, name=None, code=0):
        """The output of a container that ends by itself."""
        done = self.containerd.ctr("run", "--rm", "--snapshotter", "erofs", "--runtime", self.runtime.type,
                                   "--fifo-dir", f"{self.containerd.base}/fifo", *flags, of,
                                   name or self.name, "sh", "-c", script, timeout=180)
        self.assert_code(done, code)
        return done.out

    def start(self, *flags, of=MANY):
        self.containerd.ctr("run", "-d", "--snapshotter", "erofs", "--runtime", self.runtime.type, *flags, of,
                            self.name, "sleep", "1000", timeout=120, check=True)

    def inside(self, script):
        done = self.containerd.exec(self.name, ["sh", "-c", script], timeout=120)
        self.assert_code(done, 0)
        return done.out

    def root(self):
        done = run([f"{self.runtime.bin_dir}/kata-runtime", "state", "--root", self.name], 60)
        self.assertEqual(done.code, 0, done)
        return done.out.strip()

    def snapshots_folder(self):
        return f"{self.containerd.base}/root/io.containerd.snapshotter.v1.erofs/snapshots"

    def layer_files(self, name):
        """The files of a container's layers, the top one first."""
        mounts = self.containerd.ctr("snapshot", "--snapshotter", "erofs", "mounts", "/mnt", name, check=True).out
        return [word for word in mounts.split() if word.endswith("/layer.erofs")]


class Files(ErofsCase):
    """The root is put together on the host."""

    def test_files_are_those_of_the_image(self):
        self.assertEqual(self.once(SUMS), expected_sums())

    def test_what_is_written_is_in_the_snapshot_and_nothing_is_left(self):
        self.start()
        self.inside("echo new >/new; rm /many/2/2; echo more >>/many/3/3")
        self.assertEqual(self.inside("cat /new /many/3/3; ls /many/2/2 2>&1 | wc -l"),
                         "new\ncontent of 3\nmore\n1\n")
        uppers = [f"{self.snapshots_folder()}/{number}/fs/new" for number in os.listdir(self.snapshots_folder())]
        self.assertEqual(sum(map(os.path.exists, uppers)), 1)
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_read_only_root_refuses_writes(self):
        self.assertEqual(self.once("touch /new 2>&1 | grep -o 'Read-only.*'; cat /many/1/1", "--read-only"),
                         "Read-only file system\nreplaced\n")


@only("kata", "runc has no guest")
class Layers(Files):
    """The root is put together in the guest, of the same files."""

    layers = True

    @classmethod
    def set_up_bed(cls):
        need_layers(cls.runtime)
        super().set_up_bed()

    def test_the_guest_has_the_files_as_disks_from_the_first_start_on(self):
        self.start()
        self.assertEqual(self.root(), "layers (2 images), upper shared")
        self.assertIn("overlay / overlay", self.inside("cat /proc/mounts"))
        self.assertEqual(self.inside(SUMS), expected_sums())


def chain_of(**options):
    """The name of the snapshot that has an image's topmost layer (OCI image-spec, chain ids)."""
    blobs, manifest = image.make(**options)
    settings = json.loads(blobs[json.loads(blobs[manifest["digest"]])["config"]["digest"]])
    chain, *above = settings["rootfs"]["diff_ids"]
    for diff in above:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff}'.encode()).hexdigest()}"
    return chain


class SnapshotCase(ErofsCase):
    """Tasks on snapshots that are not ctr's, by containerd's own API."""

    since = "2.3"

    def setUp(self):
        super().setUp()
        self.output = f"{self.containerd.base}/{self.name}.out"

    def tearDown(self):
        super().tearDown()
        for key in self.containerd.ctr("snapshot", "--snapshotter", "erofs", "ls", check=True).out.splitlines():
            if key.startswith("test-"):
                self.containerd.ctr("snapshot", "--snapshotter", "erofs", "rm", key.split()[0], check=True)

    def snapshot(self, method, key, parent=None):
        """The mounts of a new snapshot, or of one that there is."""
        words = [(1, "erofs"), (2, key)]
        if parent:
            # Nothing else keeps it from containerd's collection of garbage.
            words += [(3, parent), (4, protobuf.encode((1, "containerd.io/gc.root"), (2, "test")))]
        reply = grpc.call(self.containerd, grpc.SNAPSHOTS, method, protobuf.encode(*words))
        mounts = [protobuf.decode(mount) for mount in protobuf.decode(reply).get(1, [])]
        return [(protobuf.text(mount, 1), protobuf.text(mount, 2), [bytes(word).decode() for word in mount.get(4, [])])
                for mount in mounts]

    def create(self, rootfs, script, *flags):
        # ctr would mount a snapshot of this snapshotter itself, and cannot always.
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, *flags, self.image, self.name,
                            "script", script, check=True)
        grpc.create_task(self.containerd, self.name, stdout=f"file://{self.output}",
                         stderr=f"file://{self.output}", timeout=120, rootfs=rootfs)

    def run_on(self, rootfs, script, *flags):
        """What a container says that ends by itself."""
        self.create(rootfs, script, *flags)
        grpc.start_task(self.containerd, self.name)
        self.wait_status(self.name, "STOPPED", 60)
        with open(self.output) as file:
            text = file.read()
        self.assertEqual(grpc.delete_task(self.containerd, self.name)[0], 0, text)
        self.containerd.remove(self.name)
        os.unlink(self.output)
        return text

    @classmethod
    def many(cls):
        return chain_of(folders=FOLDERS, files=FILES, above=[ABOVE])


class Snapshots(SnapshotCase):
    def test_a_hundred_layers_are_one_root(self):
        above = [{f"layers/{number}": f"{number}\n", "layers/top": f"{number}\n"} for number in range(99)]
        self.containerd.import_image(HUNDRED, above=above)
        mounts = self.snapshot("Prepare", "test-hundred", chain_of(above=above))
        self.assertEqual(len(mounts), 101)
        self.assertEqual(self.run_on(mounts, "cat /layers/top; ls /layers | wc -l; touch /new"), "98\n100\n")

    def test_a_view_of_several_layers_is_read_only(self):
        mounts = self.snapshot("View", "test-view", self.many())
        self.assertEqual(self.run_on(mounts, f"{SUMS}; touch /new 2>/dev/null || echo refused"),
                         expected_sums() + "refused\n")

    @only("kata", "containerd gives runc no mount at all")
    def test_a_view_of_one_layer_is_that_layer(self):
        mounts = self.snapshot("View", "test-view", chain_of())
        self.assertEqual([kind for kind, _, _ in mounts], ["erofs"])
        self.assertEqual(self.run_on(mounts, "cat /etc/kata-e2e; touch /new 2>/dev/null || echo refused"),
                         "made for tests\nrefused\n")

    def test_layers_merged_by_an_image_of_metadata_are_their_files(self):
        mounts = self.snapshot("Prepare", "test-probe", self.many())
        top, bottom = (source for kind, source, _ in mounts if kind == "erofs")
        programs = debs.script("fetch-erofs")
        meta = f"{os.path.dirname(top)}/fsmeta.erofs"
        subprocess.run([f"{programs}/mkfs.erofs", "--quiet", "--ovlfs-strip=1", meta, bottom, top], check=True)
        self.addCleanup(os.unlink, meta)
        mounts = self.snapshot("Prepare", "test-merged", self.many())
        self.assertIn(f"device={bottom}", mounts[0][2])
        self.assertEqual(self.run_on(mounts, SUMS), expected_sums())
        mounts = self.snapshot("View", "test-view", self.many())
        self.assertEqual([kind for kind, _, _ in mounts], ["erofs", "format/bind"])
        self.assertEqual(self.run_on(mounts, SUMS), expected_sums())


@only("kata", "the kernel of this machine has no dm-verity for containerd")
class Verity(SnapshotCase):
    """Images with a tree of dm-verity behind them."""

    def test_an_image_runs_as_long_as_nobody_changes_it(self):
        mounts = self.snapshot("Prepare", "test-probe", self.many())
        layers = [source for kind, source, _ in mounts if kind == "erofs"]
        for layer in layers:
            add_verity(layer)
        mounts = self.snapshot("Prepare", "test-checked", self.many())
        self.assertIn(f"X-containerd.dmverity={layers[0]}.dmverity", mounts[0][2])
        self.assertEqual(self.run_on(mounts, SUMS), expected_sums())
        with open(layers[1], "r+b") as file:
            file.seek(BLOCK)
            byte = file.read(1)
            file.seek(BLOCK)
            file.write(bytes([byte[0] ^ 1]))
        with self.assertRaises(RpcError) as refusal:
            self.create(mounts, "true")
        self.assertIn(f'dm-verity of "{layers[1]}": it was changed: its root hash is', refusal.exception.message)
        self.assert_clean()


class WritableImages(SnapshotCase):
    """What is written is in an ext4 of a given size, a file beside the layers."""

    snapshotter_settings = 'default_size = "256MiB"'
    words = "shared"

    def test_what_is_written_is_there_again_at_the_next_start(self):
        mounts = self.snapshot("Prepare", "test-rw", self.many())
        self.assertEqual(self.run_on(mounts, f"{SUMS}; echo kept >/kept; rm /added"), expected_sums())
        again = self.snapshot("Mounts", "test-rw")
        self.assertEqual(self.run_on(again, "cat /kept; ls /added 2>/dev/null; df -m / | tail -1 | awk '{print $2 < 256}'"),
                         "kept\n1\n")
        self.assert_clean()

    @only("kata", "runc has no guest")
    def test_it_is_known_what_the_root_is_made_of(self):
        mounts = self.snapshot("Prepare", "test-rw", self.many())
        self.create(mounts, "sleep 1000")
        grpc.start_task(self.containerd, self.name)
        self.assertEqual(self.root(), self.words)
        self.inside("cd / && mkdir d && cd d && for i in $(seq 500); do echo $i >$i; done; rm -r /d; echo kept >/kept")
        self.containerd.remove(self.name)
        self.assertEqual(self.run_on(self.snapshot("Mounts", "test-rw"), "cat /kept; ls -d /d 2>/dev/null; true"), "kept\n")


@only("kata", "runc has no guest")
class GuestWritableImages(WritableImages):
    """The guest has that file as a disk."""

    layers = True
    words = "layers (2 images), upper disk"
