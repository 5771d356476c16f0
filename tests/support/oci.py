# SPDX-License-Identifier: Apache-2.0
"""The OCI command line (kata-runtime, or runc to prove the tests) with bundles of its own."""

import array
import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from testbed import image
from testbed.leftovers import new_token
from testbed.process import BedError, run, wait_until

from .bed_case import BedCase
from .case import Settings, snapshot

PR_SET_CHILD_SUBREAPER = 36


def program():
    """Path of the command line under test."""
    if Settings.runtime.is_vm:
        return f"{Settings.runtime.bin_dir}/kata-runtime"
    for path in (f"{Settings.bin_dir}/runc", shutil.which("runc")):
        if path and os.path.exists(path):
            return path
    raise BedError("no runc")


@contextlib.contextmanager
def subreaper():
    """This process adopts orphaned descendants, as conmon and containerd's shims do."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise BedError(f"prctl: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def reap_orphans():
    """Reaps adopted processes that have ended: shims outlive the command that made them."""
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                children = file.read().split()
        except OSError:
            continue
        for pid in children:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
                if ") Z " in file.read():
                    os.waitpid(int(pid), os.WNOHANG)


def wait_pid(pid, seconds=30):
    """Reaps a child or an adopted orphan; returns its exit code, 128 + n for a signal's victim."""
    def ended():
        found, status = os.waitpid(pid, os.WNOHANG)
        return [status] if found else None
    status = wait_until(ended, seconds, f"end of process {pid}")[0]
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class DescriptorSocket:
    """A listening unix socket that takes a descriptor: the master of a terminal, as conmon's does, or a process."""

    def __init__(self, path):
        self.path, self.descriptor = path, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.settimeout(60)

    def take(self):
        """The descriptor, which is closed with this."""
        connection, _ = self.listener.accept()
        with connection:
            _, parts, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
        numbers = array.array("i")
        numbers.frombytes(parts[0][2][:4])
        self.descriptor = numbers[0]
        return self.descriptor

    def close(self):
        self.listener.close()
        os.unlink(self.path)
        if self.descriptor is not None:
            os.close(self.descriptor)


class OciCase(BedCase):
    """self.cli(...) runs the command line with a root directory of this class.

    After each test every container is removed, unless the class keeps it in `kept`.
    """

    kept = ()

    @classmethod
    def setUpClass(cls):
        cls.runtime = Settings.runtime
        cls.before_all = snapshot()
        cls.token = new_token()
        cls.base = f"/tmp/kt-{cls.token}"
        os.mkdir(cls.base, 0o711)
        cls.addClassCleanup(cls._finish)
        cls.runtime.prepare(cls.base)
        if cls.runtime.is_vm:
            # Machines of tests may be busy with other things.
            cls.runtime.write_config(cls.runtime.config, agent={"dial_timeout": 150})
        cls.env = {**os.environ, **cls.runtime.environment()}
        cls.root = f"{cls.base}/state"
        cls.rootfs = image.write_tree(f"{cls.base}/rootfs")
        cls._ids = itertools.count(1)

    @classmethod
    def _finish(cls):
        for name in cls.ids():
            cls.cli("delete", "--force", name)
        cls.runtime.release(cls.base)
        # The last shim outlives its last command by a moment.
        for _ in range(20):
            reap_orphans()
            time.sleep(0.05)
        cls.end_folder()

    def setUp(self):
        super().setUp()
        self.name = f"o{next(self._ids)}-{self.token}"

    def tearDown(self):
        for name in self.ids():
            if name not in self.kept:
                self.cli("delete", "--force", name)
        reap_orphans()

    @classmethod
    def argv(cls, *arguments):
        return [program(), "--root", cls.root, *map(str, arguments)]

    @classmethod
    def cli(cls, *arguments, timeout=200, stdin=b"", cwd=None):
        return run(cls.argv(*arguments), timeout, env=cls.env, stdin=stdin, cwd=cwd)

    @classmethod
    def popen(cls, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(cls.argv(*arguments), env=cls.env, **options)

    @classmethod
    def ids(cls):
        return cls.cli("list", "-q").out.split() if os.path.isdir(cls.root) else []

    def bundle(self, *command, terminal=False, change=None):
        """A new bundle's folder; `change` may edit the specification."""
        folder = f"{self.base}/bundle-{next(self._ids)}"
        os.mkdir(folder)
        done = run([program(), "spec", "--bundle", folder], 10, env=self.env)
        if done.code != 0:
            raise BedError(repr(done))
        with open(f"{folder}/config.json") as file:
            spec = json.load(file)
        spec["root"] = {"path": self.rootfs, "readonly": False}
        spec["process"]["args"] = list(command)
        spec["process"]["terminal"] = terminal
        spec["process"]["capabilities"].pop("ambient", None)
        if not self.runtime.is_vm:
            # Hosts of tests may have a layout of cgroups that runc does not mount.
            spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
            spec["process"].pop("rlimits", None)
        if change:
            change(spec)
        with open(f"{folder}/config.json", "w") as file:
            json.dump(spec, file)
        return folder

    def run_detached(self, *command, **options):
        """Starts a container that runs `command`; returns the host's process id of it."""
        # To files: a detached container holds what it was given for as long as it lives.
        with open(f"{self.base}/out-{self.name}", "wb") as out:
            child = self.popen("run", "--detach", "--bundle", self.bundle(*command, **options),
                               "--pid-file", f"{self.base}/pid", self.name, stdout=out, stderr=out)
            code = child.wait(200)
        self.assertEqual(code, 0, self.output())
        with open(f"{self.base}/pid") as file:
            return int(file.read())

    def output(self):
        with open(f"{self.base}/out-{self.name}") as file:
            return file.read()

    def state(self, name=None):
        done = self.cli("state", name or self.name)
        self.assertEqual(done.code, 0, done)
        return json.loads(done.out)

    def wait_status(self, status, seconds=20):
        wait_until(lambda: self.state()["status"] == status, seconds,
                   lambda: f"{self.name} {status}; is {self.state()['status']}")

    def assert_code(self, done, code):
        self.assertEqual(done.code, code, done)

    def assert_output(self, done, text):
        self.assert_code(done, 0)
        self.assertEqual(done.out, text, done)

    def assert_refused(self, done, words, code=1):
        self.assert_code(done, code)
        self.assertIn(words, done.err)


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
