# SPDX-License-Identifier: Apache-2.0
"""One upper layer below two overlays, the host's and the guest's: each sees what the other writes, and
a guest that wants more than its files does not get it."""

import os
import unittest

from support.case import Settings, only
from support.docker_case import DockerCase
from support.layers import EngineWithLayers
from support.podman_case import PodmanCase
from test_layers import LayersCase
from testbed import debs
from testbed.docker import COMMAND_LINE, SHIM
from testbed.process import BedError, wait_until

SECONDS = 60
WAIT = "while [ ! -e /go ]; do sleep 0.1; done; cat /go; echo heard > /answer; exec sleep 1000"


class Coherence(EngineWithLayers):
    """A mixin: the engine has the container's root mounted, and shows it while it runs."""

    def start(self, name, script):
        self.make_images()
        self.cli("run", "--detach", "--name", name, "--network", "none", self.image, "sh", "-c", script,
                 check=True)
        self.assert_layers(name)

    def give(self, content, name, path):
        source = f"{self.folder}/given"
        with open(source, "w") as file:
            file.write(content)
        self.cli("cp", source, f"{name}:{path}", check=True)

    def taken(self, name, path):
        """The content of a container's file, None where the engine finds none."""
        target = f"{self.folder}/taken"
        if os.path.exists(target):
            os.unlink(target)
        if self.cli("cp", f"{name}:{path}", target).code != 0:
            return None
        with open(target) as file:
            return file.read()

    def inside(self, name, script):
        return self.cli("exec", name, "sh", "-c", f"exec 2>&1; {script}").out

    def test_copies_reach_who_waits_for_them_and_answers_come_back(self):
        self.start("waiting", WAIT)
        self.assertIsNone(self.taken("waiting", "/answer"))
        self.give("given\n", "waiting", "/go")
        wait_until(lambda: self.cli("logs", "waiting").out == "given\n", SECONDS, "what was given")
        wait_until(lambda: self.taken("waiting", "/answer") == "heard\n", SECONDS, "the answer")

    def test_each_side_sees_what_the_other_did_to_a_file_of_the_image(self):
        self.start("both", "exec sleep 1000")
        before = self.taken("both", "/etc/group")
        self.assertEqual(self.inside("both", "cat /etc/group"), before)
        # The engine's copy has written to /etc, in which this guest has mounted something.
        self.assertEqual(self.inside("both", "echo more >> /etc/group; rm /etc/kata-e2e; mkdir /dir; "
                                             "echo x > /dir/x"), "")
        wait_until(lambda: self.taken("both", "/etc/group") == f"{before}more\n", SECONDS, "a change")
        wait_until(lambda: self.taken("both", "/etc/kata-e2e") is None, SECONDS, "a removal")
        self.assertEqual(self.taken("both", "/dir/x"), "x\n")
        self.assertEqual(self.inside("both", "cat /etc/passwd >/dev/null; cat /dir/x"), "x\n")
        self.give("other\n", "both", "/etc/passwd")
        self.give("y\n", "both", "/dir/x")
        wait_until(lambda: self.inside("both", "cat /etc/passwd /dir/x") == "other\ny\n", SECONDS,
                   "what the host wrote")

    def test_nothing_is_stale_that_the_host_removes(self):
        # Names are never older than a moment in this guest, which is when it is told of the change.
        self.start("stale", "mkdir /dir; echo x > /dir/gone; echo y > /dir/moved; "
                            "while true; do cat /dir/gone /dir/moved >/dev/null 2>&1; done")
        wait_until(lambda: self.inside("stale", "cat /dir/gone /dir/moved") == "x\ny\n", SECONDS, "files")
        folder = f"{self.merged('stale')}/dir"
        wait_until(lambda: os.path.exists(f"{folder}/moved"), SECONDS, "files on the host")
        os.unlink(f"{folder}/gone")
        os.rename(f"{folder}/moved", f"{folder}/here")
        script = "cd /dir; ls; cat gone; cat here; echo z > gone; cat gone; rm gone"
        said = "here\ncat: can't open 'gone': No such file or directory\ny\nz\n"
        wait_until(lambda: self.inside("stale", script) == said, SECONDS,
                   lambda: self.inside("stale", script))

    def merged(self, name):
        """Where the engine has a container's root, seen from here."""
        path = self.cli("inspect", "--format", "{{.GraphDriver.Data.MergedDir}}", name, check=True).out
        return self.host_root() + path.strip()

    def host_root(self):
        return ""


class DockerCoherence(Coherence):
    def host_root(self):
        return f"/proc/{self.bed.dockerd.pid}/root"


@only("kata", "runc has one overlay")
class DockerThroughContainerd(DockerCoherence, DockerCase):
    door = SHIM


@only("kata", "runc has one overlay")
class DockerThroughTheCommandLine(DockerCoherence, DockerCase):
    door = COMMAND_LINE


@only("kata", "runc has one overlay")
class PodmanCopies(Coherence, PodmanCase):
    pass


# What a guest can do that has turned against its host: the share once more, past the agent. What the
# kernel mounts is one of the file systems that it has of it, which may be the upper layer's.
ATTACK = """
mkdir /share && mount -t virtiofs kataShared /share && cd /share || exit 9
test -d fs || cd .uppers/0/layer || exit 9
for name in fs work; do
  mv $name other 2>/dev/null && echo moved $name
  rmdir $name 2>/dev/null && echo removed $name
  ln -s /etc link; mv -fT link $name 2>/dev/null; test -L $name && echo linked $name
done
ls work
ln -s /etc committed; mkdir -p made/deep; chmod 777 .
echo attacked
"""


@only("kata", "runc has no guest")
class Upper(LayersCase):
    """By the virtiofsd that the host has installed."""

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.runtime.write_config(cls.runtime.config, settings={"rootfs_layers": True}, **cls.daemon())
        cls.start("first")
        cls.wait_images(1)
        cls.containerd.remove("first")

    @classmethod
    def daemon(cls):
        return {}

    def test_what_comes_and_goes_is_seen_by_who_looks_all_the_time(self):
        self.start(self.name, "mkdir /dir; echo x > /dir/gone; echo y > /dir/moved; "
                              "while true; do cat /dir/* /dir/gone /dir/moved /dir/new; done")
        self.assertIn("upper shared", self.root_of(self.name))
        folder = f"{self.upper(self.name)}/dir"
        wait_until(lambda: os.path.exists(f"{folder}/moved"), SECONDS, "files")
        os.unlink(f"{folder}/gone")
        os.rename(f"{folder}/moved", f"{folder}/here")
        with open(f"{folder}/new", "w") as file:
            file.write("z\n")
        script = "exec 2>&1; cd /dir; ls; cat gone; cat here new; true"
        said = "here\nnew\ncat: can't open 'gone': No such file or directory\ny\nz\n"
        wait_until(lambda: self.inside(self.name, script) == said, SECONDS,
                   lambda: self.inside(self.name, script))

    def test_names_beside_an_upper_layer_stay_the_hosts(self):
        self.start(self.name, "exec sleep 1000", "--privileged")
        upper = self.upper(self.name)
        snapshot = os.path.dirname(upper)
        before = os.stat(snapshot).st_mode
        self.assertEqual(self.inside(self.name, f"({ATTACK}) 2>&1"), "kata\nwork\nattacked\n")
        self.inside(self.name, "echo still > /here")
        with open(f"{upper}/here") as file:
            self.assertEqual(file.read(), "still\n")
        # The container is still known, and so are its files.
        self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
        self.wait_status(self.name, "STOPPED", 60)
        self.containerd.ctr("task", "delete", self.name, check=True)
        self.assertEqual(sorted(os.listdir(snapshot)), ["fs", "work"])
        self.assertEqual(os.listdir(f"{snapshot}/work"), ["work"])
        self.assertEqual(os.stat(snapshot).st_mode, before)
        self.containerd.remove(self.name)
        self.assert_clean()


class UpperInRust(Upper):
    """1.13: it knows names for longer, and calls as another process."""

    @classmethod
    def daemon(cls):
        if Settings.core_only:
            raise unittest.SkipTest("not in the core subset")
        try:
            return {"virtio_fs_daemon": debs.script("fetch-virtiofsd", "trixie")}
        except BedError as error:
            raise unittest.SkipTest(f"no such virtiofsd here: {error}") from error
