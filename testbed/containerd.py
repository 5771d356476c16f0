# SPDX-License-Identifier: Apache-2.0
"""A private containerd: own folders, sockets, configuration and namespace, started and ended by pid."""

import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from . import debs, image
from .leftovers import new_token, remove_cgroups
from .process import BedError, run, wait_until
from .runtime import toml_value

CONFIG = """\
version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
                    "io.containerd.cri.v1.runtime", "io.containerd.snapshotter.v1.btrfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri",
                    "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = "{base}/c.sock"

[ttrpc]
  address = "{base}/c.sock.ttrpc"

[debug]
  level = "debug"
"""

CRI = """
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{base}/registries"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{base}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "kata"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  runtime_type = "{runtime}"
  sandboxer = "{sandboxer}"
  privileged_without_host_devices = true
"""

BLOCKFILE = """
[plugins."io.containerd.snapshotter.v1.blockfile"]
  root_path = "{base}/blockfile"
  scratch_file = "{base}/scratch.img"
  fs_type = "ext4"
  recreate_scratch = true
"""

EROFS = """
[plugins."io.containerd.snapshotter.v1.erofs"]
  {settings}

[plugins."io.containerd.service.v1.diff-service"]
  default = ["erofs", "walking"]
"""


def folder_of(base, place):
    return f"{base}/{place}" if place else base


def config(base, place=""):
    """The text of a configuration: sockets in the folder `base`, what is kept in `place` below it."""
    kept = folder_of(base, place)
    return CONFIG.format(base=base, root=toml_value(f"{kept}/root"), state=toml_value(f"{kept}/state"))


def fetch(series):
    """(version, bin folder) of containerd 1.6, 1.7, 2.1 or 2.3, downloaded (or built) on first use."""
    _, version, folder = debs.script("fetch-containerd", series).split(maxsplit=2)
    return version, folder


class Containerd:
    """start(), then use; stop() ends the daemon and leaves containers' shims alone; destroy() also
    removes the folders. kill() and start() again make a crash.

    bin_dir   folder with containerd, ctr, containerd-shim-runc-v2 and runc
    runtime   a testbed.runtime.Runtime: PATH entries and environment for its shim
    prelude   shell text to run in a private mount namespace before containerd, or None; {base} is
              the bed's folder
    token     what names end in; a new one where none is given
    snapshotter    "blockfile": containerd 2 can also keep images as files with an ext4 in them;
                   "erofs": those of 2.1 and later also as an EROFS a layer
    settings       lines for that snapshotter's configuration
    place     a folder below the bed's, of any name, for what containerd keeps
    cri       {"sandboxer": "shim" or "podsandbox", "plugins": folder of CNI's plugins}: with the CRI
              plugin, whose runtime handler "kata" is the runtime; networks are those of the bed's
              folder cni, registries those of its folder registries (containerd's hosts.toml), and the
              pause container's image is image.PAUSE, which who uses CRI imports
    """

    def __init__(self, bin_dir, runtime, prelude=None, token=None, snapshotter="overlayfs", place="",
                 settings="", cri=None):
        self.bin_dir, self.runtime, self.prelude, self.place = bin_dir, runtime, prelude, place
        # Short on purpose: a unix socket's path ends at 107 bytes.
        # In every command line that this bed leads to: containerd's, shims', VMMs'.
        self.token = token or new_token()
        self.base = f"/tmp/kt-{self.token}"
        os.mkdir(self.base, 0o711)
        self.address = f"{self.base}/c.sock"
        self.log = f"{self.base}/containerd.log"
        self.namespace = os.path.basename(self.base)
        self.process = None
        self._ids = itertools.count(1)
        with open(f"{self.base}/config.toml", "w") as file:
            text = config(self.base, place)
            if cri:
                text = re.sub(r'"io\.containerd\.(grpc\.v1\.cri|cri\.v1\.\w+)",\s*', "", text)
                text += CRI.format(base=self.base, image=image.PAUSE, runtime=runtime.type, **cri)
            file.write(text)
            if snapshotter == "blockfile":
                file.write(BLOCKFILE.format(base=self.base))
                self._make_scratch()
            programs = []
            if snapshotter == "erofs":
                file.write(EROFS.format(settings=settings))
                programs = [debs.script("fetch-erofs")]
        self.snapshotter = snapshotter
        self.runtime.prepare(self.base)
        self.env = dict(os.environ)
        self.env.update(runtime.environment())
        self.env.update({"PATH": ":".join([*runtime.path_dirs(), bin_dir, *programs,
                                           self.env["PATH"]]),
                         "CONTAINERD_ADDRESS": self.address,
                         "CONTAINERD_NAMESPACE": self.namespace})

    def _make_scratch(self):
        with open(f"{self.base}/scratch.img", "wb") as scratch:
            scratch.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", scratch.name], check=True)

    @property
    def pid(self):
        return self.process.pid

    def start(self, timeout=30):
        argv = [f"{self.bin_dir}/containerd", "--config", f"{self.base}/config.toml"]
        if self.prelude:
            argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                    self.prelude.format(base=self.base) + '\nexec "$@"', "sh", *argv]
        # A socket that a killed daemon left behind would accept nobody and mislead the wait.
        for name in (self.address, self.address + ".ttrpc"):
            if os.path.exists(name):
                os.unlink(name)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, env=self.env, cwd=self.base, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self._answers, timeout, lambda: f"containerd answers; log: {self.log_tail()}")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise BedError(f"containerd ended with {self.process.returncode}: {self.log_tail()}")
        for path in (self.address, self.address + ".ttrpc"):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except OSError:
                    return False
        return self.ctr("version", timeout=20).code == 0

    def log_tail(self, size=3000):
        try:
            with open(self.log, "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - size))
                return file.read().decode(errors="replace")
        except OSError as error:
            return str(error)

    def kill(self):
        """SIGKILL: what a crash looks like to the shims."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("containerd did not end within 20 s of SIGTERM") from None
        if self.snapshotter == "erofs":
            # 2.1 leaves layers mounted, for its next start.
            self._unmount_below(f"{self.base}/root/io.containerd.snapshotter.v1.erofs")

    @staticmethod
    def _unmount_below(folder):
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts]
        for point in reversed(points):
            if point.startswith(folder + "/"):
                subprocess.run(["umount", "-l", point], check=False)

    def destroy(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.runtime.release(self.base)
        self._unmount_below(self.base)
        remove_cgroups(self.namespace)
        shutil.rmtree(self.base, ignore_errors=True)

    # -- ctr ------------------------------------------------------------------------------------

    def ctr(self, *arguments, timeout=60, stdin=b"", check=False, env=None):
        done = run(self.argv(*arguments), timeout, env={**self.env, **(env or {})}, stdin=stdin)
        if check and done.code != 0:
            raise AssertionError(f"expected success: {done}")
        return done

    def popen(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.argv(*arguments), env=self.env, **options)

    def argv(self, *arguments):
        # ctr mounts snapshots itself at times: it must see what containerd sees.
        enter = ["nsenter", "-t", str(self.pid), "-m"] if self.prelude else []
        return [*enter, f"{self.bin_dir}/ctr", *map(str, arguments)]

    def import_image(self, name=image.NAME, **options):
        """Imports the busybox image once and returns its name; what image.make() takes makes another."""
        path = image.write_tar(f"{self.base}/image.tar", name, **options)
        # containerd's own service unpacks for the snapshotters of its configuration alone.
        words = ("--local", "--snapshotter", "erofs") if self.snapshotter == "erofs" else ()
        self.ctr("image", "import", *words, path, check=True)
        os.unlink(path)
        return name

    def new_id(self, word="c"):
        return f"{word}{next(self._ids)}-{self.token}"

    def run_arguments(self, name, command, *flags):
        # ctr leaves the fifos of what it detaches from: keep them out of the host's /run.
        return ["run", "--runtime", self.runtime.type, "--fifo-dir", f"{self.base}/fifo", *flags,
                image.NAME, name, *command]

    def run(self, name, command, *flags, **options):
        """ctr run FLAGS IMAGE NAME COMMAND with this bed's runtime."""
        return self.ctr(*self.run_arguments(name, command, *flags), **options)

    def run_detached(self, name, command, *flags, timeout=60):
        return self.run(name, command, "-d", *flags, timeout=timeout, check=True)

    def exec(self, name, command, *flags, exec_id=None, **options):
        return self.ctr(*self.exec_arguments(name, command, *flags, exec_id=exec_id), **options)

    def exec_arguments(self, name, command, *flags, exec_id=None):
        return ["task", "exec", "--fifo-dir", f"{self.base}/fifo", "--exec-id",
                exec_id or self.new_id("e"), *flags, name, *command]

    def tasks(self):
        """{name: (pid, status)} of `ctr task ls`."""
        lines = self.ctr("task", "ls", check=True).out.splitlines()[1:]
        return {name: (int(pid), status) for name, pid, status in (line.split() for line in lines)}

    def status(self, name):
        """The task's status word, or None when containerd has no such task."""
        return self.tasks().get(name, (0, None))[1]

    def containers(self):
        return self.ctr("container", "ls", "-q", check=True).out.split()

    def snapshots(self):
        lines = self.ctr("snapshot", "ls", check=True).out.splitlines()[1:]
        return [line.split()[0] for line in lines]

    def metrics(self, name):
        """The metrics message of `ctr task metrics --format json`."""
        return json.loads(self.ctr("task", "metrics", "--format", "json", name, check=True).out)

    def remove(self, name):
        """Ends and removes a container whatever its state; True when nothing had to be forced."""
        if name in self.tasks():
            self.ctr("task", "kill", "-s", "KILL", name)
            try:
                wait_until(lambda: self.status(name) in ("STOPPED", None), 15, f"end of {name}")
            except AssertionError:
                pass
            self.ctr("task", "delete", "--force", name)
        return self.ctr("container", "rm", name).code == 0

    def remove_all(self):
        for name in self.containers():
            self.remove(name)

    def bundle(self, name):
        return f"{folder_of(self.base, self.place)}/state/io.containerd.runtime.v2.task/{self.namespace}/{name}"

    def events(self):
        return Events(self)


class Events:
    """`ctr events` as a list that grows: (namespace, topic, fields). Use as a context manager."""

    LINE = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) (/\S+) (\{.*\})\s*$")

    def __init__(self, containerd):
        self._containerd = containerd
        self._lock = threading.Lock()
        self._all = []
        self._probe = itertools.count(1)

    def __enter__(self):
        self._child = self._containerd.popen("events", stderr=subprocess.DEVNULL)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # ctr does not say when its subscription stands: provoke events until one arrives.
        def heard():
            label = f"probe={next(self._probe)}"
            self._containerd.ctr("namespace", "label", self._containerd.namespace, label)
            until = time.monotonic() + 0.2
            while not self._all and time.monotonic() < until:
                time.sleep(0.01)
            return self._all
        wait_until(heard, 20, "first event arrives")
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()
        self._reader.join(5)
        self._child.stdout.close()

    def _read(self):
        for line in self._child.stdout:
            match = self.LINE.match(line.decode(errors="replace"))
            if match:
                with self._lock:
                    self._all.append((match[1], match[2], json.loads(match[3])))

    def of(self, container):
        """[(topic, fields)] of the container's task events so far, in order of arrival."""
        with self._lock:
            return [(topic, fields) for _, topic, fields in self._all
                    if topic.startswith("/tasks/") and fields.get("container_id") == container]

    def wait_for(self, container, topic, seconds=10, **wanted):
        """The fields of the first such event; AssertionError after `seconds`."""
        def found():
            return [fields for name, fields in self.of(container) if name == topic and
                    all(fields.get(key) == value for key, value in wanted.items())]
        return wait_until(found, seconds,
                          lambda: f"event {topic} {wanted} of {container} in {self.of(container)}")[0]


class Lines:
    """The lines of a pipe as they arrive, read on a thread so that waiting can have a deadline."""

    def __init__(self, stream):
        self.text = ""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        while True:
            data = os.read(stream.fileno(), 65536)
            if not data:
                return
            self.text += data.decode(errors="replace")

    def wait_for(self, text, seconds=20):
        wait_until(lambda: text in self.text, seconds, lambda: f"{text!r} in {self.text!r}")


def wait_readable(stream, seconds):
    if not select.select([stream], [], [], seconds)[0]:
        raise AssertionError(f"nothing to read within {seconds} s")


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
