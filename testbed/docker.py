# SPDX-License-Identifier: Apache-2.0
"""A private Docker: dockerd and its containerd in network, mount and PID namespaces of their own.

Basis: dockerd(8); the daemon's folders, sockets and cgroups are named by options, what it writes to
/etc lands in a layer above it.
"""

import glob
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile

from . import debs, image
from .containerd import config
from .leftovers import new_token, remove_cgroups
from .process import BedError, Terminal, run, wait_until

# Docker of the Debian suite that a containerd comes from.
SERIES = {"1.6": "20.10", "1.7": "26.1", "2.1": "28.5"}
IMAGE = "kata/busybox"

# Through containerd's shim API, by the runtime's type; and through runc's command line, which
# containerd's own shim calls.
SHIM, COMMAND_LINE = "shim", "command line"
# No runtime is set up but Docker's own.
NO_DOOR = "no door"
ADDED = "added"

# {base} becomes the bed's folder. dockerd makes /etc/docker, whatever it is told.
NAMESPACES = """\
mkdir -p {base}/etc/upper {base}/etc/work
mount -t overlay -o lowerdir=/etc,upperdir={base}/etc/upper,workdir={base}/etc/work etc /etc
ip link set lo up
exec "$@"
"""


def fetch(containerd_series):
    """(docker series, version, bin folder) of the Docker that belongs to a containerd."""
    return debs.script("fetch-docker", SERIES[containerd_series]).split(maxsplit=2)


def child_of(pid):
    """The only child of a process, or None."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    except OSError:
        return None
    return int(children[0]) if children else None


class Daemon:
    """One program in the bed's namespaces; start() again after its end makes a restart."""

    def __init__(self, bed, name, argv):
        self._bed, self._argv = bed, argv
        self.log = f"{bed.base}/{name}.log"
        self._enter = None
        self.pid = None

    def start(self):
        with open(self.log, "ab") as log:
            self._enter = subprocess.Popen(self._bed.entered(*self._argv), env=self._bed.env,
                                           cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = wait_until(self._find, 20, lambda: f"{self._argv[0]} starts: {self.log_tail()}")

    def _find(self):
        self.check()
        return child_of(self._enter.pid)

    def check(self):
        """Raises when the program has ended by itself."""
        if self._enter.poll() is not None:
            raise BedError(f"{self._argv[0]} ended with {self._enter.returncode}: {self.log_tail()}")

    @property
    def enter_pid(self):
        return self._enter.pid

    def alive(self):
        return self._enter is not None and self._enter.poll() is None

    def end(self, number=signal.SIGTERM, seconds=60):
        """Signals the program and waits for its end."""
        if not self.alive():
            return
        os.kill(self.pid, number)
        try:
            self._enter.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self._enter.wait(20)
            raise AssertionError(f"{self._argv[0]} did not end within {seconds} s: "
                                 f"{self.log_tail()}") from None

    def log_tail(self, size=3000):
        try:
            with open(self.log, "rb") as file:
                return file.read()[-size:].decode(errors="replace")
        except OSError as error:
            return str(error)


class Docker:
    """start(), then docker(...); stop() ends both daemons, destroy() everything that was made.

    bin_dir    folder of scripts/fetch-docker
    runtime    a testbed.runtime.Runtime
    door       SHIM or COMMAND_LINE: how the daemon's default runtime is reached; or NO_DOOR
    options    more of dockerd's options
    token      what names end in; a new one where none is given
    """

    def __init__(self, bin_dir, runtime, door, options=(), token=None):
        self.bin_dir, self.runtime, self.door = bin_dir, runtime, door
        # In every command line that this bed leads to; short, because sockets' paths are.
        self.token = token or new_token()
        self.base = f"/tmp/kt-{self.token}"
        os.mkdir(self.base, 0o711)
        self.cgroup = f"kt-{self.token}"
        runtime.prepare(self.base)
        self.env = {**os.environ, **runtime.environment(),
                    "PATH": ":".join([*runtime.path_dirs(), bin_dir, os.environ["PATH"]]),
                    "DOCKER_HOST": f"unix://{self.base}/docker.sock",
                    "DOCKER_CONFIG": f"{self.base}/cli", "DOCKER_BUILDKIT": "0"}
        self._ids = itertools.count(1)
        self._init = None
        with open(f"{self.base}/config.toml", "w") as file:
            file.write(config(self.base))
        self.containerd = Daemon(self, "containerd", [f"{bin_dir}/containerd", "--config",
                                                      f"{self.base}/config.toml"])
        self.dockerd = Daemon(self, "dockerd", [
            f"{bin_dir}/dockerd", "--containerd", f"{self.base}/c.sock",
            "--host", f"unix://{self.base}/docker.sock", "--data-root", f"{self.base}/docker",
            "--exec-root", f"{self.base}/exec", "--pidfile", f"{self.base}/dockerd.pid",
            "--config-file", self._config_file(), "--cgroup-parent", f"/{self.cgroup}",
            "--storage-driver", "overlay2", "--userland-proxy-path", f"{bin_dir}/docker-proxy",
            "--init-path", f"{bin_dir}/docker-init", *self._runtime_options(), *options])

    def _runtime_options(self):
        if self.door == NO_DOOR:
            return []
        if self.door == SHIM:
            return ["--default-runtime", self.runtime.type]
        program = (f"{self.runtime.bin_dir}/kata-runtime" if self.runtime.is_vm
                   else f"{self.bin_dir}/runc")
        return ["--add-runtime", f"{ADDED}={program}", "--default-runtime", ADDED]

    def _config_file(self):
        path = f"{self.base}/daemon.json"
        with open(path, "w") as file:
            json.dump({}, file)
        return path

    def entered(self, *argv):
        """argv inside the bed's namespaces."""
        return ["nsenter", "-t", str(child_of(self._init.pid)), "-n", "-m", "-p", *argv]

    def start(self):
        # The namespaces' first process reaps what daemons leave, and all ends with it.
        self._init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--propagation", "private", "--fork",
             "--kill-child", "--mount-proc", "sh", "-ec", NAMESPACES.format(base=self.base), "sh",
             f"{self.bin_dir}/docker-init", "--", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        wait_until(self._has_namespaces, 20, "namespaces of the bed")
        self.start_containerd()
        self.start_dockerd()
        return self

    def _has_namespaces(self):
        if self._init.poll() is not None:
            raise BedError("the namespaces cannot be made")
        init = child_of(self._init.pid)
        return init and child_of(init)  # sleep, when all is mounted

    def start_containerd(self):
        for name in ("c.sock", "c.sock.ttrpc"):
            if os.path.exists(f"{self.base}/{name}"):
                os.unlink(f"{self.base}/{name}")
        self.containerd.start()
        def answers():
            self.containerd.check()
            return accepts(f"{self.base}/c.sock") and accepts(f"{self.base}/c.sock.ttrpc")
        wait_until(answers, 60, lambda: f"containerd answers: {self.containerd.log_tail()}")

    def start_dockerd(self):
        # It writes its number inside the namespace, which may be somebody's after a crash.
        for name in ("dockerd.pid", "docker.sock"):
            if os.path.exists(f"{self.base}/{name}"):
                os.unlink(f"{self.base}/{name}")
        self.dockerd.start()
        def answers():
            self.dockerd.check()
            return self.docker("version").code == 0
        wait_until(answers, 90, lambda: f"dockerd answers: {self.dockerd.log_tail()}")

    def own_pids(self):
        """The processes that the bed itself consists of."""
        init = child_of(self._init.pid) if self._init else None
        pids = [self._init.pid if self._init else None, init, child_of(init) if init else None]
        for daemon in (self.containerd, self.dockerd):
            if daemon.alive():
                pids += [daemon.pid, daemon.enter_pid]
        return [pid for pid in pids if pid]

    def is_own(self, leftover):
        """Whether a line of the host's comparison is the bed's namespaces and what they hold."""
        namespace = child_of(self._init.pid)
        links = [os.readlink(f"/proc/{namespace}/ns/{kind}") for kind in ("net", "mnt")]
        return any(link in leftover for link in links)

    def stop(self):
        self.dockerd.end()
        self.containerd.end()

    def destroy(self):
        for daemon in (self.dockerd, self.containerd):
            daemon.end(signal.SIGKILL)
        if self._init:
            self._init.kill()
            self._init.wait()
        self.runtime.release(self.base)
        remove_cgroups(self.cgroup)
        shutil.rmtree(self.base, ignore_errors=True)

    # -- docker ---------------------------------------------------------------------------------

    def argv(self, *arguments):
        return [f"{self.bin_dir}/docker", *map(str, arguments)]

    def docker(self, *arguments, timeout=240, stdin=b"", check=False, cwd=None):
        done = run(self.argv(*arguments), timeout, env=self.env, stdin=stdin, cwd=cwd)
        if check and done.code != 0:
            raise AssertionError(f"expected success: {done}\ndockerd: {self.dockerd.log_tail(1500)}")
        return done

    def popen(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.argv(*arguments), env=self.env, **options)

    def terminal(self, *arguments, size=(24, 80)):
        return Terminal(self.argv(*arguments), env=self.env, size=size)

    def import_image(self):
        """Imports the tests' busybox tree and returns its name."""
        tree, path = image.write_tree(f"{self.base}/tree"), f"{self.base}/tree.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(tree, arcname=".")
        self.docker("import", "--change", "CMD [\"/bin/sh\"]", path, IMAGE, check=True)
        os.unlink(path)
        shutil.rmtree(tree)
        return IMAGE

    def new_name(self, word="d"):
        return f"{word}{next(self._ids)}-{self.token}"

    def inspect(self, name, template):
        """The value of a Go template over a container, parsed as JSON."""
        done = self.docker("inspect", "--type", "container", "--format",
                           "{{json %s}}" % template, name, check=True)
        return json.loads(done.out)

    def containers(self):
        return self.docker("ps", "--all", "--quiet", "--no-trunc", check=True).out.split()

    def remove_all(self):
        names = self.containers()
        if names:
            self.docker("rm", "--force", "--volumes", *names, timeout=300)

    def outer_pid(self, pid):
        """The number here of a process that has `pid` in the bed's namespace."""
        namespace = os.readlink(f"/proc/{self.dockerd.pid}/ns/pid")
        for path in glob.glob("/proc/[0-9]*"):
            try:
                with open(f"{path}/status") as file:
                    numbers = re.search(r"^NSpid:\s+(.*)$", file.read(), re.MULTILINE)[1].split()
                if numbers[-1] == str(pid) and os.readlink(f"{path}/ns/pid") == namespace:
                    return int(path.split("/")[2])
            except OSError:
                pass
        return None


def accepts(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
