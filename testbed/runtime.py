# SPDX-License-Identifier: Apache-2.0
"""The runtimes that the suite can run against, and where they are expected to differ."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess

from .process import BedError


class Runtime:
    """name, the runtime type for ctr, whether it has VMs, and who its processes are."""

    name = type = ""
    is_vm = False
    # Paths that the runtime is known to leave; a named difference, not a pass for everything.
    known_leftovers = re.compile(r"(?!)")

    def execs_at_once(self, series):
        return 100

    def prepare(self, base):
        """Writes what the runtime needs below the bed's folder `base`, starts what serves it."""

    def release(self, base):
        """Ends what prepare(base) has started."""

    def path_dirs(self):
        return []

    def files(self):
        """What of it has to be seen in tests' namespaces."""
        return []

    def environment(self):
        return {}

    def shim_pid(self, containerd, name):
        """The pid of the container's shim daemon, known by its -id and -namespace arguments."""
        for pid, argv in processes():
            if "containerd-shim" in os.path.basename(argv[0]) and has_flag(argv, "id", name) and \
                    has_flag(argv, "namespace", containerd.namespace) and \
                    argv[-1] not in ("start", "delete"):
                return pid
        return None

    def victims(self, containerd, name):
        """{role: pid} of the container's host processes that a fault test may kill."""
        return {role: pid for role, pid in [("shim", self.shim_pid(containerd, name))] if pid}


class Runc(Runtime):
    name = "runc"
    type = "io.containerd.runc.v2"
    # Its shim keeps a namespace's folder once made, and its sockets when it is killed.
    known_leftovers = re.compile(r"^empty folder /run/containerd/runc/[^/]+$|"
                                 r"^socket /run/containerd/s/[0-9a-f]{64}$")

    def execs_at_once(self, series):
        # 100 take 6 s with 10 at once and 160 s with 100 at once on containerd 1.6's runc shim.
        return 10 if series == "1.6" else 100

    def victims(self, containerd, name):
        found = super().victims(containerd, name)
        pid = containerd.tasks().get(name, (0, None))[0]
        if pid:
            found["init"] = pid
        return found


class Kata(Runtime):
    """bin_dir has containerd-shim-kata-v2; kernel and initrd are the guest's files.

    start_from  "boot": each machine boots; "template": it is a copy of one that is made before the
                first test; "warm": the service kata-factory keeps one ready
    """

    name = "kata"
    type = "io.containerd.kata.v2"
    is_vm = True
    memory_mib = 256  # of the machine, before its containers' limits
    # What the timed probe of /dev/kvm found, kept until the next boot so that it runs once.
    known_leftovers = re.compile(r"^file /run/kata-containers/accelerator\.json$")
    # Warm machines wait for the next test, each in a network namespace and with a shared directory.
    waiting = re.compile(rf"{known_leftovers.pattern}|^process .*\bwarm-[0-9a-f]{{8}}|"
                         r"^[a-z ]+ /run/.*/warm-[0-9a-f]{8}|^process \d+ kata-factory |"
                         r"^network namespace net:|^mount / \(tmpfs from kata-share\)")
    start_from = "template"
    templates = "/var/tmp/kata-test-templates"

    def __init__(self, bin_dir, kernel, initrd):
        if ":" in bin_dir:
            raise BedError(f"{bin_dir}: PATH cannot have a folder with a colon: move it")
        self.bin_dir, self.kernel, self.initrd = bin_dir, kernel, initrd
        self.config = None
        self.services = {}
        if self.start_from == "warm":
            self.known_leftovers = self.waiting

    def path_dirs(self):
        return [self.bin_dir]

    def files(self):
        return [self.bin_dir, self.kernel, self.initrd]

    def kernel_info(self):
        """What stands beside the guest's kernel: kind, release, lacks, ...; {} where nothing does."""
        path = f"{os.path.dirname(self.kernel)}/kernel.info"
        if not os.path.exists(path):
            return {}
        with open(path) as file:
            return dict(line.rstrip("\n").split(": ", 1) for line in file)

    def lacks(self, word):
        """Whether kernel.info has it among what guests on this kernel go without."""
        return word in self.kernel_info().get("lacks", "").split()

    def plugs_processors(self):
        """Whether machines that run can be given more; True also where this is not known."""
        if not self.lacks("emulated-cpu-hotplug"):
            return True
        done = subprocess.run([f"{self.bin_dir}/kata-runtime", "env", "--json"], capture_output=True,
                              env={**os.environ, **self.environment()}, check=True)
        return json.loads(done.stdout)["env"]["accelerator"]["kind"] == "kvm"

    def prepare(self, base):
        self.config = f"{base}/configuration.toml"
        self.write_config(self.config)
        if self.start_from == "warm":
            with open(f"{base}/factory.log", "ab") as log:
                self.services[base] = subprocess.Popen(
                    [f"{self.bin_dir}/kata-factory", "--config", self.config], stdout=log, stderr=log,
                    env={**os.environ, **self.environment()})

    def release(self, base):
        service = self.services.pop(base, None)
        if service:
            service.send_signal(signal.SIGTERM)
            service.wait(30)

    def environment(self):
        return {"KATA_CONF_FILE": self.config}

    def values(self):
        return {"path": find("qemu-system-x86_64"), "kernel": self.kernel, "initrd": self.initrd,
                "machine_type": "q35", "default_vcpus": 1, "default_memory": self.memory_mib,
                "shared_fs": "virtio-fs", "virtio_fs_daemon": find("virtiofsd")}

    def write_config(self, path, /, agent=None, factory=None, settings=None, snapshot=None,
                     **changes):
        """A configuration file; a change to None leaves the key out. Returns path.

        agent      keys of the table [agent.kata]
        factory    keys of the table [factory]; a changed machine has no template unless these say so
        settings   keys of the table [runtime]
        snapshot   keys of the table [snapshot]
        changes    keys of the table [hypervisor.qemu]
        """
        templates = {"enable_template": self.start_from != "boot" and not changes,
                     "template_path": self.templates, "vm_cache_number": 1,
                     "vm_cache_endpoint": f"{os.path.dirname(path)}/factory.sock",
                     "layers_path": f"{os.path.dirname(path)}/layers"}
        tables = {"hypervisor.qemu": {**self.values(), **changes}, "agent.kata": agent or {},
                  "runtime": settings or {}, "factory": {**templates, **(factory or {})},
                  **({"snapshot": snapshot} if snapshot else {})}
        with open(path, "w") as file:
            for name, keys in tables.items():
                file.write(f"[{name}]\n")
                for key, value in keys.items():
                    if value is not None:
                        file.write(f"{key} = {toml_value(value)}\n")
        if tables["factory"]["enable_template"]:
            # Not in the background of a test.
            done = subprocess.run([f"{self.bin_dir}/containerd-shim-kata-v2", "-config", path,
                                   "template"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if done.returncode != 0:
                raise RuntimeError(f"no template: {done.stderr.decode()}")
        return path

    def sharing(self, files):
        """For write_config: machines with a shared directory, or without; made from a template where
        others are."""
        if files:
            return {}
        return {"shared_fs": "none", "virtio_fs_daemon": "/nonexistent",
                "factory": {"enable_template": self.start_from != "boot"}}

    def be_patient(self, settings=None, **changes):
        """Gives the prepared configuration deadlines for a host whose processors others use too, and
        more as write_config does."""
        self.write_config(self.config, settings=settings, agent={
            "dial_timeout": 600, "create_container_timeout": 600, "launch_process_timeout": 600,
            "request_timeout_ms": 600000}, **changes)

    def victims(self, containerd, name):
        """The VMM and virtiofsd stand in the sandbox's record."""
        found = super().victims(containerd, name)
        try:
            with open(f"/run/vc/sbs/{name}/record.json") as file:
                processes_of_it = json.load(file)["processes"]
        except FileNotFoundError:
            return found
        found.update((process["role"], process["pid"]) for process in processes_of_it
                     if process["role"] in ("vmm", "virtiofsd"))
        return found


def toml_value(value):
    """A text, number or truth value as TOML has it; its strings are JSON's."""
    return json.dumps(value, ensure_ascii=False)


def find(program):
    """Path of a host program that Debian may keep outside PATH."""
    for path in (shutil.which(program), f"/usr/libexec/{program}", f"/usr/lib/qemu/{program}"):
        if path and os.path.exists(path):
            return path
    return f"/usr/bin/{program}"


def has_flag(argv, flag, value):
    return any(argv[i].lstrip("-") == flag and argv[i + 1] == value for i in range(len(argv) - 1))


def processes():
    """[(pid, argv)] of the processes that have a command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                argv = file.read().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue
        if argv[0]:
            found.append((int(path.split("/")[2]), argv))
    return found
