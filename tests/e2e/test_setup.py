# SPDX-License-Identifier: Apache-2.0
"""kata-runtime setup: real front ends use the runtime afterwards, and have their files back after --undo."""

import json
import os
import subprocess

from support import grpc, podman, protobuf
from support.case import ContainerdCase, Settings, core, only
from support.docker_case import DockerCase
from support.oci import program
from support.podman_case import IMAGE as PODMAN_IMAGE
from support.podman_case import PodmanCase
from testbed import image
from testbed.docker import IMAGE, NO_DOOR
from testbed.process import run

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# What setup remembers lies in /var/lib, which is the host's in most beds.
COVER = ("mkdir -p {base}/lib/upper {base}/lib/work; mount -t overlay -o "
         "lowerdir=/var/lib,upperdir={base}/lib/upper,workdir={base}/lib/work overlay /var/lib")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def host_boot_id():
    return read(BOOT_ID).decode()


@only("kata", "it sets kata up")
class DockerSetup(DockerCase):
    door = NO_DOOR
    original = b'{\n\t"debug" : false\n}'

    @classmethod
    def set_up_bed(cls):
        cls.file = f"{cls.bed.base}/daemon.json"
        done = run(cls.bed.entered("sh", "-ec", COVER.format(base=cls.bed.base)), 20)
        assert done.code == 0, done

    def setUp(self):
        super().setUp()
        with open(self.file, "wb") as file:
            file.write(self.original)

    def tearDown(self):
        self.setup("--undo")
        super().tearDown()

    def setup(self, *words, code=0, timeout=600):
        done = run(self.bed.entered(f"{self.runtime.bin_dir}/kata-runtime", "setup", "docker", *words),
                   timeout, env=self.bed.env)
        self.assertEqual(done.code, code, f"{done}\ndockerd: {self.bed.dockerd.log_tail(1500)}")
        return done

    def boot_id(self, *options):
        done = self.docker("run", "--rm", "--network", "none", *options, IMAGE, "cat", BOOT_ID)
        self.assert_code(done, 0)
        return done.out

    def default(self):
        return self.docker("info", "--format", "{{.DefaultRuntime}}", check=True).out.strip()

    def runtimes(self):
        return json.loads(self.docker("info", "--format", "{{json .Runtimes}}", check=True).out)

    @core
    def test_containers_have_machines_by_default_until_it_is_undone(self):
        shown = self.setup("--default", "--dry-run")
        self.assertIn('+\t"default-runtime": "kata"', shown.out)
        self.assertEqual(read(self.file), self.original)

        done = self.setup("--default")
        self.assertIn("ran in a machine of its own", done.out)
        self.assertIn("setup docker --undo", done.out)
        self.assertNotEqual(self.boot_id(), host_boot_id())
        self.assertIn("nothing to do", self.setup().out)

        # The file is one that dockerd also starts with.
        self.bed.dockerd.end()
        self.bed.start_dockerd()
        self.assertEqual(self.default(), "kata")

        self.setup("--undo")
        self.assertEqual(read(self.file), self.original)
        self.assertEqual(self.default(), "runc")
        self.assertNotIn("kata", self.runtimes())
        self.assertEqual(self.boot_id(), host_boot_id())
        self.assertIn("has changed nothing here", self.setup("--undo").out)

    def test_a_runtime_that_is_no_default_has_the_name_that_is_asked_for(self):
        report = json.loads(self.setup("--name", "machine", "--no-check", "--json").out)
        self.assertTrue(report["ok"], report)
        self.assertEqual(self.default(), "runc")
        self.assertIn("machine", self.runtimes())
        self.assertNotEqual(self.boot_id("--runtime", "machine"), host_boot_id())

    def test_a_file_that_dockerd_could_not_read_is_left_alone(self):
        for text, words in ((b'{\n "debug": true,\n}\n', "daemon.json:3:"),
                            (b'{"runtimes": {"kata": {"path": "/opt/kata"}}}', "--name")):
            with open(self.file, "wb") as file:
                file.write(text)
            self.assertIn(words, self.setup("--default", code=1).err)
            self.assertEqual(read(self.file), text)

    def test_what_does_not_run_is_put_back(self):
        config = read(self.runtime.config)
        try:
            with open(self.runtime.config, "ab") as file:
                file.write(b"nonsense\n")
            done = self.setup("--default", code=1)
            self.assertIn("check   failed", done.out)
            self.assertIn("is as it was", done.out)
        finally:
            with open(self.runtime.config, "wb") as file:
                file.write(config)
        self.assertEqual(read(self.file), self.original)
        self.assertEqual(self.default(), "runc")


@only("kata", "it sets kata up")
class DockerWithFlags(DockerSetup):
    """dockerd would not start with a default both in its file and among its arguments."""
    options = ("--default-runtime", "runc", "--add-runtime", "other=/bin/true")
    test_containers_have_machines_by_default_until_it_is_undone = None
    test_a_runtime_that_is_no_default_has_the_name_that_is_asked_for = None
    test_a_file_that_dockerd_could_not_read_is_left_alone = None
    test_what_does_not_run_is_put_back = None

    def test_a_default_that_is_an_argument_of_dockerd_is_not_repeated_in_the_file(self):
        self.assertIn("--default-runtime runc", self.setup("--default", code=1).err)
        self.assertEqual(read(self.file), self.original)

    def test_runtimes_of_the_command_line_are_not_forgotten_by_a_reload(self):
        done = self.setup("--no-check")
        self.assertIn("load    skipped", done.out)
        self.assertIn("systemctl restart docker", done.out)
        self.assertIn("other", self.runtimes())
        self.bed.dockerd.end()
        self.bed.start_dockerd()
        self.assertLessEqual({"kata", "other", "runc"}, self.runtimes().keys())


@only("kata", "it sets kata up")
class ContainerdSetup(ContainerdCase):
    """containerd with its CRI plugin, whose answer tells what it has read."""
    prelude = COVER + "\n"
    original = """\
version = 2
root = "{base}/root"
state = "{base}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
                    "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
                    "io.containerd.nri.v1.nri"]
{imports}
[grpc]
  address = "{base}/c.sock"
[ttrpc]
  address = "{base}/c.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  max_container_log_line_size = 4321
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
    imports = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        base = cls.containerd.base
        cls.file = f"{base}/config.toml"
        cls.text = cls.original.format(base=base, imports=cls.imports.format(base=base)).encode()

    def setUp(self):
        super().setUp()
        with open(self.file, "wb") as file:
            file.write(self.text)
        self.restart()

    def tearDown(self):
        self.setup("--undo")
        super().tearDown()

    def restart(self):
        self.containerd.stop()
        self.containerd.start()

    def setup(self, *words, code=0):
        done = run(["nsenter", "-t", str(self.containerd.pid), "-m",
                    f"{self.runtime.bin_dir}/kata-runtime", "setup", "containerd",
                    *(words if "--undo" in words else ["--config-file", self.file, *words])], 600,
                   env=self.containerd.env)
        self.assertEqual(done.code, code, f"{done}\n{self.containerd.log_tail(1500)}")
        return done

    def cri_config(self):
        """The CRI plugin's configuration as the daemon has it."""
        reply = grpc.call(self.containerd, "runtime.v1.RuntimeService", "Status",
                          protobuf.encode((1, 1)))
        for entry in protobuf.decode(reply)[2]:
            pair = protobuf.decode(entry)
            if pair[1][0] == b"config":
                return json.loads(pair[2][0])
        raise AssertionError("no config in the answer")

    def check_cri(self, default, has_kata):
        config = self.cri_config()
        self.assertEqual(config["containerd"]["defaultRuntimeName"], default)
        runtimes = config["containerd"]["runtimes"]
        self.assertEqual("kata" in runtimes, has_kata)
        # What else the main file says of the plugin still holds.
        self.assertEqual(config.get("maxContainerLogLineSize", config.get("maxContainerLogSize")), 4321)
        self.assertTrue(runtimes["runc"]["options"]["SystemdCgroup"])
        return runtimes

    def check_written(self, before):
        """Which file has changed."""
        self.assertIn(b"# begin: kata-runtime setup\n", read(self.file))

    def test_pods_have_machines_by_default_until_it_is_undone(self):
        self.setup("--default", "--dry-run")
        self.assertEqual(read(self.file), self.text)
        self.check_cri("runc", False)

        done = self.setup("--default", "--no-check")
        self.check_written(self.text)
        self.assertIn("systemctl restart containerd", done.out)
        self.assertIn("nothing to do", self.setup().out)
        self.restart()
        kata = self.check_cri("kata", True)["kata"]
        self.assertEqual(kata.get("runtimeType", kata.get("type")), "io.containerd.kata.v2")
        self.assertEqual(kata.get("PodAnnotations", kata.get("podAnnotations")),
                         ["io.katacontainers.*"])

        self.setup("--undo")
        self.assertEqual(read(self.file), self.text)
        self.assertFalse(os.path.exists(f"{self.containerd.base}/conf.d"))
        self.restart()
        self.check_cri("runc", False)

    def test_a_container_proves_it(self):
        done = self.setup()
        self.assertIn("check   ", done.out)
        # The image is in the bed's own namespace of containerd, where setup does not look.
        self.assertIn("there is no image here", done.out)
        # Not by "image export": that of containerd 2.1 can end before its file has all of it.
        path = image.write_tar(f"{self.containerd.base}/image.tar")
        self.setup("--undo")
        self.containerd.ctr("-n", "k8s.io", "image", "import", path, check=True)
        try:
            self.assertIn("ran in a machine of its own", self.setup().out)
        finally:
            self.containerd.ctr("-n", "k8s.io", "image", "rm", self.image)


@only("kata", "it sets kata up")
class ContainerdDropIn(ContainerdSetup):
    """A main file that imports a folder: containerd 2 merges, earlier ones would lose the main file's."""
    imports = 'imports = ["{base}/conf.d/*.toml"]'
    test_a_container_proves_it = None

    def check_written(self, before):
        if Settings.series.startswith("1."):
            self.assertIn(b"# begin: kata-runtime setup\n", read(self.file))
        else:
            self.assertEqual(read(self.file), before)
            self.assertIn(b"version = 2\n", read(f"{self.containerd.base}/conf.d/50-kata.toml"))


@only("kata", "it sets kata up")
class PodmanSetup(PodmanCase):
    drop_in = "/etc/containers/containers.conf.d/50-kata.conf"

    @classmethod
    def set_up_bed(cls):
        subprocess.run(["sh", "-ec", COVER.format(base=cls.base)], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", "/var/lib"])
        with open("/etc/containers/containers.conf", "w") as file:
            file.write("".join(
                line for line in podman.CONTAINERS_CONF.format(name=cls.engine.name).splitlines(True)
                if not line.startswith(("runtime", "[engine.runtimes]", cls.engine.name))))

    def tearDown(self):
        self.setup("--undo")
        super().tearDown()

    def setup(self, *words, code=0):
        done = run([program(), "setup", "podman", *words], 600)
        self.assertEqual(done.code, code, done)
        return done

    def boot_id(self):
        return self.out("run", "--rm", "--network", "none", PODMAN_IMAGE, "cat", BOOT_ID)

    def test_containers_have_machines_by_default_until_it_is_undone(self):
        had_folder = os.path.exists(os.path.dirname(self.drop_in))
        self.assertIn("+[engine.runtimes]", self.setup("--default", "--dry-run").out)
        self.assertFalse(os.path.exists(self.drop_in))
        done = self.setup("--default")
        self.assertIn('podman knows the runtime "kata" as its default', done.out)
        self.assertIn("ran in a machine of its own", done.out)
        self.assertNotEqual(self.boot_id(), host_boot_id())
        self.assertIn("nothing to do", self.setup("--default").out)
        self.setup("--undo")
        self.assertFalse(os.path.exists(self.drop_in))
        self.assertEqual(os.path.exists(os.path.dirname(self.drop_in)), had_folder)
        self.assertEqual(self.boot_id(), host_boot_id())

    def test_a_file_that_is_read_later_and_says_otherwise_is_told_of(self):
        later = "/etc/containers/containers.conf.d/60-other.conf"
        os.makedirs(os.path.dirname(later), exist_ok=True)
        with open(later, "w") as file:
            file.write('[engine]\nruntime = "runc"\n')
        try:
            done = self.setup("--default", code=1)
            self.assertIn("podman's default is still \"runc\"", done.out)
            self.assertFalse(os.path.exists(self.drop_in))
        finally:
            os.unlink(later)
