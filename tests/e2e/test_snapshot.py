# SPDX-License-Identifier: Apache-2.0
"""Containers that are saved while they run, and go on from there (docs/snapshots.md)."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import grpc, protobuf
from support.case import Settings, core, only
from support.case import snapshot as snapshot_of_host
from support.network_case import NetworkCase
from support.ttrpc import RpcError
from test_root_disk import BlockfileCase, DiskCase, make_disk
from testbed.containerd import kill
from testbed.image import write_tree
from testbed.process import parallel, run, wait_until

ROOM_MIB = 64  # of a disk


def counts(text):
    """The numbers of the counting program's whole lines; AssertionError where a call went wrong."""
    lines = [line.split(" ", 2) for line in text.split("\n")[:-1]]
    for line in lines:
        assert line[1] == "0", f"the counting program: {line}"
    return [int(line[0]) for line in lines]


class SnapshotCase(DiskCase):
    """A counting program on a disk, in a machine that shares nothing."""

    @classmethod
    def set_up_bed(cls):
        cls.counting = cls.compiled("counting")
        cls.store = f"{cls.containerd.base}/snapshots"
        cls.write_config(cls.runtime.config)

    @classmethod
    def write_config(cls, path, store=None, quota_mb=0, **changes):
        """Of a machine that can be saved; the path."""
        boots = cls.runtime.start_from == "boot"
        return cls.runtime.write_config(
            path, **{"shared_fs": "none", "virtio_fs_daemon": None, **changes},
            factory={"enable_template": not boots, "template_path": f"{cls.containerd.base}/templates"},
            agent={"dial_timeout": 200}, snapshot={"path": store or cls.store, "quota_mb": quota_mb})

    def setUp(self):
        super().setUp()
        os.unlink(self.disk)
        make_disk(self.disk, ROOM_MIB, [self.counting])

    def tearDown(self):
        super().tearDown()
        self.remove_containerds_copies()

    def assert_clean(self, *arguments):
        self.remove_containerds_copies()
        super().assert_clean(*arguments)

    def remove_containerds_copies(self):
        remove_containerds_copies(self.store)

    def count(self, lines=20):
        """Starts a container that counts, and waits for so many lines."""
        self.create("exec /bin/counting /count")
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(lines)

    def wait_counted(self, number, output=None):
        """Waits until the program has said `number`; all that it has said."""
        def reached():
            said = counts(read(output or self.output))
            return said if said and said[-1] >= number else None
        return wait_until(reached, 120, lambda: f"count {number} in {read(output or self.output)[-300:]!r}")

    def assert_goes_on(self, output=None):
        """It counts, one after the other."""
        said = counts(read(output or self.output))
        now = self.wait_counted((said[-1] if said else 0) + 20, output)
        self.assertEqual(now, list(range(now[0], now[0] + len(now))))

    def restore(self, checkpoint, name=None, disk=None):
        """Another task that goes on from `checkpoint`; where its output goes. Not started."""
        name = name or self.name
        output = f"{self.containerd.base}/{name}.restored"
        if os.path.exists(output):
            os.unlink(output)
        if name != self.name:
            self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image, name,
                                "script", "exec /bin/counting /count", check=True)
        grpc.create_task(self.containerd, name, stdout=f"file://{output}", timeout=200,
                         rootfs=[("ext4", disk or self.disk, ["loop"])], checkpoint=checkpoint)
        return output

    def end(self, name=None):
        """Kills a task that runs, and its container goes."""
        name = name or self.name
        grpc.kill_task(self.containerd, name, signal.SIGKILL)
        self.wait_status(name, "STOPPED", 60)
        code = grpc.delete_task(self.containerd, name)[0]
        self.assertEqual(code, 128 + signal.SIGKILL)

    def save_and_end(self):
        """(checkpoint, whether it is of the very last moment): ctr before 2 says --exit to runc alone."""
        at_once = Settings.series.startswith("2.")
        checkpoint = grpc.checkpoint(self.containerd, self.name, *(["--exit"] if at_once else []))
        if not at_once:
            grpc.kill_task(self.containerd, self.name, signal.SIGKILL)
        self.wait_status(self.name, "STOPPED", 60)
        self.assertEqual(grpc.delete_task(self.containerd, self.name)[0], 128 + signal.SIGKILL)
        return checkpoint, at_once

    def cli(self, *words, config=None):
        """What kata-runtime does."""
        return run([f"{self.runtime.bin_dir}/kata-runtime", "--config", config or self.runtime.config, *words],
                   200)

    def fork(self, name, snapshot, *flags, script="exec /bin/counting /count"):
        """Another container that begins from the snapshot; where its output goes. Not started."""
        output = f"{self.containerd.base}/{name}.out"
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, "--annotation",
                            f"io.katacontainers.snapshot={snapshot}", *flags, self.image, name, "script",
                            script, check=True)
        grpc.create_task(self.containerd, name, stdout=f"file://{output}", timeout=200,
                         rootfs=[("ext4", make_disk(f"{self.disk}-{name}", ROOM_MIB), ["loop"])])
        return output

    def snapshots(self, store=None):
        """What is in the store, unfinished ones as well."""
        store = store or self.store
        return sorted(os.listdir(store)) if os.path.exists(store) else []

    def refusal_of_checkpoint(self, name=None):
        done = self.containerd.ctr("task", "checkpoint", name or self.name, timeout=120)
        self.assertNotEqual(done.code, 0, done)
        return done.err


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def remove_containerds_copies(store):
    """Each restore leaves one of what a checkpoint's directory had."""
    for folder in glob.glob("/tmp/ct*d-checkpoint*"):
        if store in read(f"{folder}/kata-snapshot.json"):
            shutil.rmtree(folder)


@only("kata", "needs machines")
class Snapshot(SnapshotCase):

    @core
    def test_a_container_that_ends_when_it_is_saved_goes_on_twice_where_it_was(self):
        self.count()
        with self.containerd.events() as events:
            checkpoint, at_once = self.save_and_end()
            events.wait_for(self.name, "/tasks/checkpointed")
            events.wait_for(self.name, "/tasks/exit", exit_status=128 + signal.SIGKILL)
        before = counts(self.read_output())
        # What the disk says now is not what counts.
        make_disk(self.disk, ROOM_MIB)
        output = self.restore(checkpoint)
        self.assertEqual(self.containerd.status(self.name), "CREATED")
        self.assertEqual(read(output), "")
        grpc.start_task(self.containerd, self.name)
        now = self.wait_counted(before[-1] + 20, output)
        first = now[0]
        if at_once:
            self.assertEqual(first, before[-1] + 1, "neither lost nor twice")
        self.assertLessEqual(first, before[-1] + 1)
        self.assertEqual(before, list(range(1, before[-1] + 1)))
        self.assertEqual(now, list(range(first, first + len(now))))
        # The same once more beside it, under another name.
        other, disk = f"{self.name}-b", make_disk(f"{self.disk}-b", ROOM_MIB)
        output_of_other = self.restore(checkpoint, other, disk)
        grpc.start_task(self.containerd, other)
        now = self.wait_counted(before[-1] + 20, output_of_other)
        self.assertEqual(now[0], first)
        self.assert_goes_on(output)
        # It is a container as any other.
        log = self.containerd.exec(other, ["cat", "/count/log"])
        self.assert_code(log, 0)
        said = [int(line) for line in log.out.split()]
        self.assertEqual(said, list(range(1, len(said) + 1)))
        uuids = [self.containerd.exec(name, ["cat", "/proc/sys/kernel/random/uuid"]).out
                 for name in (self.name, other)]
        self.assertNotEqual(*uuids)
        self.end(other)
        self.end()
        for name in (self.name, other):
            self.containerd.remove(name)
        self.assert_clean()

    @core
    def test_a_container_that_is_saved_goes_on_and_so_does_its_copy(self):
        self.count()
        checkpoint = grpc.checkpoint(self.containerd, self.name)
        self.assert_goes_on()
        saved_by = self.wait_counted(1)[-1]
        self.end()
        everything = counts(self.read_output())
        self.assertEqual(everything, list(range(1, len(everything) + 1)))
        output = self.restore(checkpoint)
        grpc.start_task(self.containerd, self.name)
        now = self.wait_counted(saved_by, output)
        self.assertGreater(now[0], 20)
        self.assertLessEqual(now[0], saved_by)
        self.assert_goes_on(output)
        if not Settings.series.startswith("2."):
            self.end()
            return  # its ctr takes no second checkpoint of a container: "already exists"
        # And what goes on from a snapshot can be saved as well.
        again = grpc.checkpoint(self.containerd, self.name, "--exit")
        self.wait_status(self.name, "STOPPED", 20)
        last = counts(read(output))[-1]
        grpc.delete_task(self.containerd, self.name)
        output = self.restore(again)
        grpc.start_task(self.containerd, self.name)
        self.assertEqual(self.wait_counted(last + 5, output)[0], last + 1)
        self.end()
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_one_that_was_not_started_again_ends_as_any_other(self):
        self.count()
        checkpoint, _ = self.save_and_end()
        self.restore(checkpoint)
        self.end()
        self.restore(checkpoint)
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_an_image_path_gets_a_file_that_names_the_snapshot(self):
        if not Settings.series.startswith("2."):
            self.skipTest("ctr before 2 says --image-path to runc alone")
        self.count()
        path = f"{self.containerd.base}/{self.name}.image"
        done = self.containerd.ctr("task", "checkpoint", "--image-path", path, self.name, timeout=120)
        self.assert_code(done, 0)
        self.assertEqual(os.listdir(path), ["kata-snapshot.json"])
        self.assertLess(os.stat(f"{path}/kata-snapshot.json").st_size, 4096)
        self.assert_goes_on()

    def test_a_front_end_that_does_not_say_whether_it_ends_gets_what_the_configuration_says(self):
        for number, exits in enumerate((False, True)):
            with self.subTest(exits=exits):
                self.config = self.write_config(f"{self.containerd.base}/exits{number}.toml",
                                                settings={"checkpoint_exit": exits})
                self.count()
                before = self.snapshots()
                grpc.call(self.containerd, grpc.TASKS, "Checkpoint", protobuf.encode((1, self.name)), timeout=60)
                self.assertEqual(len(self.snapshots()), len(before) + 1)
                if exits:
                    self.wait_status(self.name, "STOPPED", 20)
                else:
                    self.assert_goes_on()
                self.containerd.remove(self.name)
                os.unlink(self.disk)
                make_disk(self.disk, ROOM_MIB, [self.counting])

    def test_what_cannot_be_saved_is_told_with_the_remedy_and_goes_on(self):
        # As Kubernetes has them.
        volume = f"{self.containerd.base}/{self.name}.volume"
        os.makedirs(f"{volume}/..first")
        with open(f"{volume}/..first/text", "w") as file:
            file.write("text\n")
        os.symlink("..first", f"{volume}/..data")
        os.symlink("..data/text", f"{volume}/text")
        self.create("exec /bin/counting /count", "--mount",
                    f"type=bind,src={volume},dst=/etc/text,options=rbind:ro")
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        before = self.snapshots()
        self.assertRegex(self.refusal_of_checkpoint(), "volumes are not saved: /etc/text; run .* without")
        self.assert_goes_on()
        self.assertEqual(self.snapshots(), before)

    def test_shared_files_are_refused_with_the_remedy(self):
        self.config = self.runtime.write_config(f"{self.containerd.base}/shared.toml")
        self.count()
        self.assertRegex(self.refusal_of_checkpoint(), 'virtiofs.*use shared_fs = .?"none')
        self.assert_goes_on()

    def test_a_disk_that_is_full_harms_nobody(self):
        for size, quota_mb, said in (("4m", 0, "no space for snapshots .* 64 are needed"),
                                     ("66m", 1, "MiB, and all in .* may take 1: raise snapshot.quota_mb"),
                                     ("66m", 1000, "No space left on device")):
            with self.subTest(size=size, quota_mb=quota_mb):
                self.save_to_full_disk(size, quota_mb, said)

    def save_to_full_disk(self, size, quota_mb, said):
        full = f"{self.containerd.base}/{self.name}.full"
        os.mkdir(full)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "full", full], check=True)
        try:
            self.config = self.write_config(f"{self.containerd.base}/full.toml", store=f"{full}/store",
                                            quota_mb=quota_mb)
            large = 40 if quota_mb > 1 else 0
            self.create(f"dd if=/dev/urandom of=/large bs=1M count={large}; sync; exec /bin/counting /count")
            grpc.start_task(self.containerd, self.name)
            self.wait_counted(20)
            self.assertRegex(self.refusal_of_checkpoint(), said)
            self.assert_goes_on()
            self.assertEqual(self.snapshots(f"{full}/store"), [])
            self.containerd.remove(self.name)
        finally:
            subprocess.run(["umount", full], check=True)
            os.rmdir(full)
        self.assert_clean()
        os.unlink(self.disk)
        make_disk(self.disk, ROOM_MIB, [self.counting])

    def test_a_snapshot_that_has_gone_or_is_damaged_is_told(self):
        self.count()
        checkpoint, _ = self.save_and_end()
        snapshot = max((f"{self.store}/{name}" for name in self.snapshots()), key=os.path.getmtime)
        for name in ("memory", "disk1"):
            with self.subTest(file=name), open(f"{snapshot}/{name}", "r+b") as file:
                at = file.seek(0, os.SEEK_DATA) if hasattr(os, "SEEK_DATA") else 0
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))
                file.flush()
                with self.assertRaises(RpcError) as refused:
                    self.restore(checkpoint)
                self.assertRegex(str(refused.exception), "(damaged|is not what was saved)")
                file.seek(at)
                file.write(byte)
        shutil.rmtree(snapshot)
        with self.assertRaises(RpcError) as refused:
            self.restore(checkpoint)
        self.assertRegex(str(refused.exception), os.path.basename(snapshot))
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_shim_or_machine_that_is_killed_meanwhile_leaves_no_snapshot(self):
        for role in ("vmm", "shim"):
            with self.subTest(role=role):
                before = self.snapshots()
                self.count()
                victim = self.runtime.victims(self.containerd, self.name)[role]
                with self.background(self.containerd.popen("task", "checkpoint", self.name)) as saving:
                    # Where it writes is the first that is seen of it.
                    wait_until(lambda: self.snapshots() != before, 60, "a snapshot begins")
                    kill(victim)
                    self.assertNotEqual(saving.wait(60), 0)
                wait_until(lambda: self.containerd.status(self.name) in ("STOPPED", "UNKNOWN", None), 30,
                           "containerd learns of the end")
                self.containerd.remove(self.name)
                self.assert_clean()
                left = set(self.snapshots()) - set(before)
                self.assertEqual([name for name in left if not name.startswith(".new-")], [])
                os.unlink(self.disk)
                make_disk(self.disk, ROOM_MIB, [self.counting])
        # What a killed writer left goes with the next one.
        self.count()
        grpc.checkpoint(self.containerd, self.name)
        self.assertEqual([name for name in self.snapshots() if name.startswith(".")], [])
        self.end()


@only("kata", "needs machines")
class Images(BlockfileCase, SnapshotCase):
    """ctr's own way: an image that is a checkpoint."""

    @core
    def test_ctr_saves_a_container_and_restores_it(self):
        image = f"checkpoint.local/{self.name}:1"
        count = "i=0; while :; do i=$((i+1)); echo $i >> /counted; sleep 0.1; done"
        self.containerd.run_detached(self.name, ["sh", "-c", count], "--snapshotter", "blockfile", timeout=120)
        counted = self.wait_lines(self.name, 5)
        done = self.containerd.ctr("container", "checkpoint", "--task", self.name, image, timeout=120)
        self.assert_code(done, 0)
        self.wait_lines(self.name, counted + 5)
        self.containerd.remove(self.name)
        done = self.containerd.ctr("container", "restore", "--live", self.name, image, timeout=200)
        self.assert_code(done, 0)
        self.wait_lines(self.name, counted + 5)
        self.end()
        self.containerd.remove(self.name)
        self.containerd.ctr("image", "rm", image, check=True)
        self.containerd.ctr("snapshot", "--snapshotter", "blockfile", "rm", self.name)
        # ctr has made them, and ended at once.
        for fifo in glob.glob(f"/run/containerd/fifo/*/{self.name}-std*"):
            shutil.rmtree(os.path.dirname(fifo), ignore_errors=True)
        self.assert_clean()

    def wait_lines(self, name, number):
        """Waits until so many lines were counted, one after the other; how many there are."""
        def counted():
            said = self.containerd.exec(name, ["cat", "/counted"]).out.split()
            self.assertEqual(said, [str(1 + n) for n in range(len(said))])
            return len(said) if len(said) >= number else None
        return wait_until(counted, 120, f"{number} lines counted")


class NamedCase(SnapshotCase):
    """kata-runtime snapshot, and containers that begin from what it has made."""

    @classmethod
    def write_config(cls, path, **changes):
        return super().write_config(path, **{"enable_annotations": ["snapshot"], **changes})

    def tearDown(self):
        super().tearDown()
        self.cli("snapshot", "remove", self.name)

    @contextlib.contextmanager
    def background_call(self, work):
        """Does `work` beside the block, which gets a function: what has gone wrong by its end, or None."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            yield lambda: future.exception(200)

    def answer(self, *words):
        done = self.cli(*words)
        self.assert_code(done, 0)
        return json.loads(done.out)

    def refusal_of(self, *words):
        done = self.cli(*words)
        self.assertEqual(done.code, 1, done)
        self.assertEqual(done.out, "")
        return done.err

    def refusal_of_fork(self, *arguments, **options):
        with self.assertRaises(RpcError) as refused:
            self.fork(*arguments, **options)
        return str(refused.exception)

    def say(self, name, *lines):
        """What a shell in the container says."""
        done = self.containerd.exec(name, ["script", "\n".join(lines)])
        self.assert_code(done, 0)
        return done.out


@only("kata", "needs machines")
class Named(NamedCase):

    @core
    def test_containers_begin_from_one_that_runs(self):
        self.count()
        done = self.cli("state", "--snapshot", self.name)
        self.assertEqual((done.code, done.out), (0, "can be saved: yes\n"))
        saved = self.answer("snapshot", "create", "--json", self.name, self.name)
        self.assertEqual(saved["path"], f"{self.store}/{self.name}")
        self.assertGreater(saved["bytes"], 1 << 20)
        self.assert_goes_on()
        forks = [f"{self.name}-{n}" for n in range(2)]
        def begin(name):
            output = self.fork(name, self.name)
            grpc.start_task(self.containerd, name)
            return output
        outputs = parallel([lambda name=name: begin(name) for name in forks], len(forks))
        firsts = []
        for output in outputs:
            firsts.append(self.wait_counted(40, output)[0])
            self.assert_goes_on(output)
        self.assertEqual(firsts[0], firsts[1], "both go on from one moment")
        self.assert_goes_on()
        for file in ("uuid", "boot_id"):
            ids = [self.say(name, f"cat /proc/sys/kernel/random/{file}") for name in (self.name, *forks)]
            self.assertEqual(len({each for each in ids if len(each) == 37}), 3, ids)
        drawn = [self.say(name, "head -c 32 /dev/urandom | md5sum") for name in (self.name, *forks)]
        self.assertEqual(len(set(drawn)), 3, drawn)
        for name in (self.name, *forks):
            self.end(name)
            self.containerd.remove(name)
        self.assert_clean()

    def test_what_there_is_is_told_checked_and_removed(self):
        self.count()
        self.assert_code(self.cli("snapshot", "create", "--stop", self.name, self.name), 0)
        self.wait_status(self.name, "STOPPED", 20)
        self.containerd.remove(self.name)
        listed = self.answer("snapshot", "list", "--json")
        self.assertEqual([one["containers"] for one in listed["snapshots"] if one["name"] == self.name],
                         [[self.name]])
        self.assertIn(self.name, self.cli("snapshot", "list").out)
        told = self.answer("snapshot", "inspect", "--json", self.name)
        self.assertEqual((told["goes_on_here"], told["disks"][0]["bytes"]), (True, ROOM_MIB << 20))
        self.assertIn("goes_on_here   true", self.cli("snapshot", "inspect", self.name).out)
        self.assertEqual(self.cli("snapshot", "verify").out, f"{self.name}: is what was saved\n")
        with open(f"{self.store}/{self.name}/memory", "r+b") as file:
            at = file.seek(0, os.SEEK_DATA)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
        self.assertRegex(self.refusal_of("snapshot", "verify", self.name), "damaged")
        self.assert_code(self.cli("snapshot", "remove", self.name), 0)
        for word in ("remove", "inspect", "verify"):
            self.assertRegex(self.refusal_of("snapshot", word, self.name), f'no snapshot "{self.name}"')
        self.assert_clean()

    def test_who_asks_for_what_cannot_be_is_told(self):
        self.assertRegex(self.refusal_of("snapshot", "create", "nobody"), '"nobody" does not exist')
        self.assertRegex(self.refusal_of_fork(f"{self.name}-0", "nothing"), 'there is no snapshot "nothing"')
        self.assertRegex(self.refusal_of_fork(f"{self.name}-1", "../../etc"), "there is no snapshot")
        self.count()
        self.assertRegex(self.refusal_of("snapshot", "create", self.name, "../up"), "lower-case letters")
        self.assert_code(self.cli("snapshot", "create", self.name, self.name), 0)
        self.assertRegex(self.refusal_of("snapshot", "create", self.name, self.name), "already")
        self.assert_goes_on()
        refused = self.write_config(f"{self.containerd.base}/refused.toml", enable_annotations=[])
        self.assertRegex(self.refusal_of_fork(f"{self.name}-2", self.name, "--runtime-config-path", refused),
                         'snapshot: not allowed .* add .?"snapshot')
        self.assertRegex(self.refusal_of_fork(f"{self.name}-3", self.name, "-t"), "terminal")
        self.end()
        for number in range(4):
            self.containerd.remove(f"{self.name}-{number}")
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_fork_has_limits_of_its_own_and_no_other_program(self):
        self.create("exec /bin/counting /count", "--memory-limit", str(256 << 20))
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        self.assert_code(self.cli("snapshot", "create", "--stop", self.name, self.name), 0)
        self.wait_status(self.name, "STOPPED", 20)
        other = f"{self.name}-other"
        self.assertRegex(self.refusal_of_fork(other, self.name, script="exec /bin/counting /another"),
                         'program is .*counting /count.*asks for .*counting /another')
        self.assertRegex(self.refusal_of_fork(f"{self.name}-small", self.name, "--memory-limit", "4096"),
                         "limits: memory.limit: 4096 is below")
        limits = {"less": str(100 << 20), "none": ""}
        for word, limit in limits.items():
            name = f"{self.name}-{word}"
            self.fork(name, self.name, *(["--memory-limit", limit] if limit else []))
            grpc.start_task(self.containerd, name)
            memory = self.containerd.metrics(name)["memory"]
            told = memory["usage_limit"] if "usage_limit" in memory else memory["usage"]["limit"]
            self.assertTrue(told == int(limit) if limit else told > 1 << 60, told)
            self.end(name)
        for name in self.containerd.containers():
            self.containerd.remove(name)
        self.assert_clean()

    def test_a_fork_has_the_files_that_its_engine_makes_and_the_others_as_they_were(self):
        def files(word):
            flags = []
            for place in ("/etc/hosts", "/etc/resolv.conf", "/data"):
                source = f"{self.containerd.base}/{self.name}.{word}{place.replace('/', '-')}"
                with open(source, "w") as file:
                    file.write(f"{word} {place}\n")
                mode = "ro" if place == "/etc/hosts" else "rw"
                flags += ["--mount", f"type=bind,src={source},dst={place},options=rbind:{mode}"]
            return flags
        self.create("exec /bin/counting /count", *files("first"))
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        self.assert_code(self.cli("snapshot", "create", self.name, self.name), 0)
        fork = f"{self.name}-0"
        self.fork(fork, self.name, *files("second"))
        grpc.start_task(self.containerd, fork)
        self.assertEqual(self.say(fork, "cat /etc/hosts /etc/resolv.conf /data", "echo x >> /etc/resolv.conf",
                                  "echo x 2>/dev/null >> /etc/hosts || echo read-only"),
                         "second /etc/hosts\nsecond /etc/resolv.conf\nfirst /data\nread-only\n")
        self.assertEqual(self.say(self.name, "cat /etc/hosts /data"), "first /etc/hosts\nfirst /data\n")
        # The same of a copy of the copy.
        self.assert_code(self.cli("snapshot", "create", fork, fork), 0)
        again = f"{self.name}-1"
        self.fork(again, fork, *files("second"))
        grpc.start_task(self.containerd, again)
        self.assertEqual(self.say(again, "cat /etc/hosts /etc/resolv.conf"),
                         "second /etc/hosts\nsecond /etc/resolv.conf\n")
        self.assert_code(self.cli("snapshot", "remove", fork), 0)

    def test_signals_wait_for_the_start_of_what_was_restored(self):
        script = "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i 0; sleep 0.1; done"
        self.create(script)
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        self.assert_code(self.cli("snapshot", "create", "--stop", self.name, self.name), 0)
        fork = f"{self.name}-0"
        self.fork(fork, self.name, script=script)
        grpc.kill_task(self.containerd, fork, signal.SIGTERM)
        self.assertEqual(self.containerd.status(fork), "CREATED")
        grpc.start_task(self.containerd, fork)
        self.wait_status(fork, "STOPPED", 60)
        self.assertEqual(grpc.delete_task(self.containerd, fork)[0], 7)

    def test_the_state_says_why_a_container_cannot_be_saved(self):
        self.config = self.runtime.write_config(f"{self.containerd.base}/shared.toml")
        self.count()
        self.assertRegex(self.cli("state", "--snapshot", self.name).out,
                         "^can be saved: no: .*virtiofs.*shared_fs")
        told = self.answer("state", "--snapshot", "--json", self.name)
        self.assertFalse(told["savable"])
        self.assertRegex(self.refusal_of("snapshot", "create", self.name), told["reason"][:40])


@only("kata", "needs machines")
class Killed(NamedCase):
    """The machine or its shim is killed at every step of a save, and of a beginning from what was saved."""

    # What is in the folder of a snapshot, as it is written; the last is its own end.
    STEPS = ("state", "memory", "disk1", "manifest.json", "published")

    def run_until(self, argv, reached, victim):
        """Kills the victim when `reached`; whether the program succeeded."""
        with self.background(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)) as child:
            # It may be over before anybody looks.
            wait_until(lambda: reached() or child.poll() is not None, 60, "a step")
            kill(victim)
            return child.wait(60) == 0

    def test_whenever_that_is_a_save_leaves_a_whole_snapshot_or_none(self):
        for role in ("vmm", "shim"):
            for step in self.STEPS:
                with self.subTest(role=role, step=step):
                    self.kill_a_save(role, step)

    def kill_a_save(self, role, step):
        name = f"{role}-{step}".replace(".", "-")
        self.count()
        victim = self.runtime.victims(self.containerd, self.name)[role]

        def reached():
            if os.path.exists(f"{self.store}/{name}"):
                return True
            return step != "published" and os.path.exists(f"{self.store}/.new-{name}/{step}")
        saved = self.run_until([f"{self.runtime.bin_dir}/kata-runtime", "snapshot", "create", self.name, name],
                               reached, victim)
        wait_until(lambda: self.containerd.status(self.name) in ("STOPPED", "UNKNOWN", None), 30,
                   "containerd learns of the end")
        self.containerd.remove(self.name)
        self.assert_clean()
        if saved or os.path.exists(f"{self.store}/{name}"):
            self.assert_code(self.cli("snapshot", "verify", name), 0)
            self.assert_code(self.cli("snapshot", "remove", name), 0)
        self.assertEqual([left for left in self.snapshots() if not left.startswith(".new-")], [])
        os.unlink(self.disk)
        make_disk(self.disk, ROOM_MIB, [self.counting])

    def test_who_asks_and_goes_gets_no_snapshot_and_the_container_goes_on(self):
        self.create("dd if=/dev/urandom of=/large bs=1M count=30; sync; exec /bin/counting /count")
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        for flags in ([], ["--stop"]):
            with self.subTest(flags=flags):
                with self.background(subprocess.Popen([f"{self.runtime.bin_dir}/kata-runtime", "snapshot", "create",
                                                       *flags, self.name, self.name])) as child:
                    wait_until(lambda: os.path.exists(f"{self.store}/.new-{self.name}"), 60, "a save begins")
                    child.kill()
                wait_until(lambda: not {self.name, f".new-{self.name}"} & set(self.snapshots()), 60,
                           lambda: f"nothing is left: {self.snapshots()}")
                self.assert_goes_on()
        self.end()

    def test_a_beginning_that_is_killed_leaves_nothing_and_harms_no_snapshot(self):
        self.count()
        self.assert_code(self.cli("snapshot", "create", self.name, self.name), 0)
        self.before = snapshot_of_host()
        fork = f"{self.name}-0"
        for role in ("vmm", "shim"):
            with self.subTest(role=role):
                with self.background_call(lambda: self.fork(fork, self.name)) as ended:
                    victim = wait_until(lambda: self.runtime.victims(self.containerd, fork).get(role), 60, role)
                    kill(victim)
                    self.assertIsInstance(ended(), RpcError)
                self.containerd.remove(fork)
                self.assert_clean()
        self.fork(fork, self.name)
        grpc.start_task(self.containerd, fork)
        self.assert_goes_on(f"{self.containerd.base}/{fork}.out")

    def test_a_snapshot_may_be_removed_while_a_container_begins_from_it(self):
        self.count()
        for number in range(4):
            self.assert_code(self.cli("snapshot", "create", self.name, self.name), 0)
            fork = f"{self.name}-{number}"
            with self.background_call(lambda: self.fork(fork, self.name)) as ended:
                wait_until(lambda: os.path.exists(f"/run/vc/sbs/{fork}") or number % 2, 60, "a beginning")
                self.assert_code(self.cli("snapshot", "remove", self.name), 0)
                error = ended()
            if error:
                self.assertRegex(str(error), "there is no snapshot")
            else:
                grpc.start_task(self.containerd, fork)
                self.assert_goes_on(f"{self.containerd.base}/{fork}.out")
            self.containerd.remove(fork)
        self.assert_goes_on()


@only("kata", "needs machines")
class ForkedNetworks(NetworkCase, NamedCase):

    @classmethod
    def set_up_bed(cls):
        for base in (NetworkCase, NamedCase):
            base.set_up_bed.__func__(cls)

    def test_a_fork_has_the_network_of_its_own_namespace(self):
        namespaces = [self.new_namespace() for _ in range(3)]
        for number, ns in enumerate(namespaces):
            self.net.add_veth(ns, 21 + number)
        script = f"sleep 100000 | nc {self.net.GATEWAY} 9000 >/dev/null 2>&1 & exec /bin/counting /count"
        self.create(script, *self.in_namespace(namespaces[0]))
        told = f"{self.containerd.base}/{self.name}.told"
        peer = ("import signal, socket, sys; told = open(sys.argv[2], 'a', 1); "
                "s = socket.create_server((sys.argv[1], 9000)); print('listens', file=told); "
                "c, _ = s.accept(); print('connected', file=told); c.recv(1); "
                "print('ended', file=told); signal.pause()")
        self.enterContext(self.net.server("python3", "-c", peer, self.net.GATEWAY, told))
        wait_until(lambda: read(told), 60, "a listener")
        grpc.start_task(self.containerd, self.name)
        self.wait_counted(20)
        wait_until(lambda: "connected" in read(told), 60, "a connection")
        self.assert_code(self.cli("snapshot", "create", self.name, self.name), 0)
        names = [self.name, f"{self.name}-1", f"{self.name}-2"]
        for name, ns in list(zip(names, namespaces))[1:]:
            self.fork(name, self.name, *self.in_namespace(ns), script=script)
            grpc.start_task(self.containerd, name)
        macs = set()
        for number, (name, ns) in enumerate(zip(names, namespaces)):
            mac = json.loads(self.net.ip("-j", "link", "show", "eth0", ns=ns))[0]["address"]
            macs.add(mac)
            said = self.say(name, "cat /sys/class/net/eth0/address", "ip -4 -o addr show eth0", "ip route",
                            f"ping -c 2 -W 10 {self.net.GATEWAY} >/dev/null && echo ping")
            self.assertEqual(said.split()[0], mac)
            self.assertIn(f"inet 10.88.0.{21 + number}/16", said)
            self.assertNotIn("10.88.0.21/" if number else "10.88.0.22/", said)
            self.assertIn("ping\n", said)
            # What the saved one is connected with is not the fork's.
            connected = ":2328 01 " in self.say(name, "cat /proc/net/tcp")
            self.assertEqual(connected, name == self.name)
        self.assertEqual(len(macs), 3)
        self.assertEqual(read(told), "listens\nconnected\n")
        for name in names:
            self.end(name)


@only("kata", "needs machines")
class OnLayers(SnapshotCase):
    """The same with a root that is an overlay, as containerd's default snapshotter gives it."""

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.lowers = [f"{cls.containerd.base}/lower", f"{cls.containerd.base}/many"]
        write_tree(cls.lowers[0])
        shutil.copy(cls.counting, f"{cls.lowers[0]}/bin")
        os.makedirs(f"{cls.lowers[1]}/many")
        for number in range(100):
            with open(f"{cls.lowers[1]}/many/{number}", "w") as file:
                file.write(f"{number}\n")

    def overlay(self, name):
        """(mounts, upper directory) of a new container's root."""
        upper, work = (f"{self.containerd.base}/{name}.root/{part}" for part in ("fs", "work"))
        for folder in (upper, work):
            os.makedirs(folder, exist_ok=True)
        return [("overlay", "overlay", [f"lowerdir={':'.join(self.lowers)}", f"upperdir={upper}",
                                        f"workdir={work}"])], upper

    def create(self, script, *flags, **options):
        return super().create(script, *flags, rootfs=self.overlay(self.name)[0], **options)

    def restored(self, checkpoint, name):
        output = f"{self.containerd.base}/{name}.restored"
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image, name, "script",
                            "exec /bin/counting /count", check=True)
        grpc.create_task(self.containerd, name, stdout=f"file://{output}", timeout=200,
                         rootfs=self.overlay(name)[0], checkpoint=checkpoint)
        return output

    @core
    def test_a_container_goes_on_with_its_files_and_gives_them_to_its_front_end(self):
        self.count()
        self.assert_code(self.containerd.exec(self.name, ["sh", "-c", "echo 1 > /before; rm /many/7"]), 0)
        checkpoint = grpc.checkpoint(self.containerd, self.name)
        self.assert_goes_on()
        self.assert_code(self.containerd.exec(self.name, ["sh", "-c", "echo 2 > /after"]), 0)
        self.end()
        upper = self.overlay(self.name)[1]
        self.assertLessEqual({"before", "after", "count", "many"}, set(os.listdir(upper)))
        # The images are the snapshot's own by now.
        shutil.rmtree(f"{self.containerd.base}/layers")
        other = f"{self.name}-b"
        output = self.restored(checkpoint, other)
        grpc.start_task(self.containerd, other)
        self.assert_goes_on(output)
        done = self.containerd.exec(other, ["sh", "-c", "cat /before /many/8; ls /after /many/7 2>&1 | wc -l; "
                                                        "echo 3 > /restored"])
        self.assert_output(done, "1\n8\n2\n")
        upper = self.overlay(other)[1]
        self.assertEqual(os.listdir(upper), [])
        # One that goes on can be saved again.
        again = grpc.checkpoint(self.containerd, other) if Settings.series.startswith("2.") else None
        self.end(other)
        self.assertLessEqual({"before", "restored", "count", "many"}, set(os.listdir(upper)))
        self.assertEqual(os.listdir(os.path.dirname(upper)), ["fs", "work"])
        if again:
            third = f"{self.name}-c"
            output = self.restored(again, third)
            grpc.start_task(self.containerd, third)
            self.assert_goes_on(output)
            self.assert_output(self.containerd.exec(third, ["cat", "/restored"]), "3\n")
            self.end(third)
            self.containerd.remove(third)
        for name in (self.name, other):
            self.containerd.remove(name)
        self.assert_clean()
