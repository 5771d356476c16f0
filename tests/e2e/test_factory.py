# SPDX-License-Identifier: Apache-2.0
"""What machines start from: a boot, a template, a warm machine; and what happens when that is damaged."""

import concurrent.futures
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time

from support.case import ContainerdCase, Settings, core, only
from support.layers import need_layers
from testbed.process import wait_until

SECONDS = 60


class FactoryCase(ContainerdCase):
    """Each test has a template directory of its own."""

    def setUp(self):
        super().setUp()
        if self.runtime.start_from == "warm":
            self.skipTest("these have services of their own, or none")
        self.folder = f"{self.containerd.base}/{self.name}"
        os.mkdir(self.folder, 0o700)
        self.templates = f"{self.folder}/templates"

    def config(self, name="a", factory=None, **changes):
        """A configuration whose templates nobody makes in advance."""
        path = self.runtime.write_config(f"{self.folder}/{name}.toml", factory={
            "enable_template": False, "template_path": self.templates, **(factory or {})}, **changes)
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("enable_template = false", "enable_template = true"))
        return path

    def start(self, config, command=("true",), name=None, flags=()):
        """Runs a container and gives what its machine started from, and its output."""
        name = name or self.containerd.new_id()
        done = self.containerd.run(name, list(command), "--rm", "--runtime-config-path", config,
                                   *flags, timeout=120)
        self.assert_code(done, 0)
        return self.origin(name), done.out

    def log_of(self, name):
        return [line for line in self.containerd.log_tail(1 << 20).splitlines()
                if f"sandbox={name} " in line]

    def origin(self, name):
        for line in reversed(self.log_of(name)):
            match = re.search(r'msg="machine booted".* from=(\w+)', line)
            if match:
                return match[1]
        self.fail(f"{name} has told no origin")

    def names(self):
        return [os.path.basename(path) for path in glob.glob(f"{self.templates}/[0-9a-f]*")]

    def await_template(self, count=1):
        wait_until(lambda: len(self.names()) == count, SECONDS,
                   lambda: f"{count} templates; there are {os.listdir(self.templates)}")
        self.await_builders()

    def await_builders(self):
        wait_until(lambda: not self.builders(), SECONDS, lambda: "no builder runs")

    def builders(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if b"template" in words and self.folder.encode() in b"\0".join(words):
                found.append(int(path.split("/")[2]))
        return found

    def file(self, name):
        return f"{self.templates}/{self.names()[0]}/{name}"


@only("kata", "runc has no machines")
class Templates(FactoryCase):
    @core
    def test_the_second_start_is_a_copy_and_no_command_is_needed(self):
        config = self.config()
        self.assertEqual(self.start(config)[0], "boot")
        self.await_template()
        self.assertEqual(self.start(config, ["echo", "hello"]), ("template", "hello\n"))
        self.assert_clean()

    @core
    def test_damage_costs_one_boot_and_one_warning(self):
        config = self.config()
        self.start(config)
        self.await_template()

        def truncate(name):
            os.truncate(self.file(name), os.path.getsize(self.file(name)) // 2)

        def flip(name):
            with open(self.file(name), "r+b") as file:
                data = file.read()
                place = next(i for i in range(len(data) // 2, len(data)) if data[i])
                file.seek(place)
                file.write(bytes([data[place] ^ 4]))

        def other_version(name):
            with open(self.file(name)) as file:
                manifest = json.load(file)
            manifest["version"] += 1
            with open(self.file(name), "w") as file:
                json.dump(manifest, file)

        for damage, name in [(truncate, "memory"), (flip, "memory"), (flip, "state/devices"),
                             (truncate, "state/devices"), (truncate, "manifest.json"),
                             (other_version, "manifest.json"), (os.unlink, "state/devices")]:
            with self.subTest(damage=damage.__name__, file=name):
                damage(self.file(name) if damage is os.unlink else name)
                container = self.containerd.new_id()
                self.assertEqual(self.start(config, name=container)[0], "boot")
                warnings = [line for line in self.log_of(container) if "level=warn" in line]
                self.assertEqual(len(warnings), 1, warnings)
                self.assertIn("template", warnings[0])
                self.await_template()
                self.assertEqual(self.start(config)[0], "template")
        shutil.rmtree(f"{self.templates}/{self.names()[0]}")
        self.assertEqual(self.start(config)[0], "boot", "it was deleted")
        self.await_template()
        self.assert_clean()

    def test_another_configuration_has_another_template(self):
        self.start(self.config())
        self.await_template()
        other = self.config("b", default_memory=320)
        self.assertEqual(self.start(other)[0], "boot")
        self.await_template(2)
        self.assertEqual(self.start(other)[0], "template")
        self.assertEqual(self.start(self.config())[0], "template")
        off = self.runtime.write_config(f"{self.folder}/off.toml", factory={
            "enable_template": False, "template_path": self.templates})
        self.assertEqual(self.start(off)[0], "boot")
        self.assert_clean()

    def test_a_full_disk_leaves_no_half_template(self):
        os.mkdir(self.templates, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "full", self.templates],
                       check=True)
        try:
            config = self.config()
            self.assertEqual(self.start(config)[0], "boot")
            wait_until(lambda: glob.glob(f"{self.templates}/.failed-*"), SECONDS,
                       lambda: f"a failure is noted in {os.listdir(self.templates)}")
            self.await_builders()
            self.assertEqual([name for name in os.listdir(self.templates)
                              if not name.startswith((".failed-", ".lock"))], [])
            self.assertEqual(self.start(config)[0], "boot")
            self.assertEqual(self.builders(), [], "it is not tried again at once")
        finally:
            subprocess.run(["umount", self.templates], check=True)
        self.assert_clean()

    def test_a_killed_builder_is_followed_by_another(self):
        config = self.config()
        self.start(config)
        wait_until(self.builders, SECONDS, lambda: "a builder runs")
        for pid in self.builders():
            os.kill(pid, signal.SIGKILL)
        self.await_builders()
        self.assertEqual(self.names(), [])
        self.assertEqual(self.start(config)[0], "boot")
        self.await_template()
        self.assertEqual(self.start(config)[0], "template")
        self.assert_clean()

    def factory(self, config, *words):
        return subprocess.run([f"{self.runtime.bin_dir}/kata-runtime", "--config", config, "factory",
                               *words], capture_output=True, text=True, timeout=SECONDS)

    def test_a_template_can_be_made_shown_and_removed_by_hand(self):
        config = self.config()

        def templates():
            done = self.factory(config, "status", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return [each["name"] for each in json.loads(done.stdout)["templates"]]
        self.assertEqual(templates(), [])
        for _ in range(2):
            done = self.factory(config, "init")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(templates(), self.names())
            self.assertEqual(len(self.names()), 1)
        self.assertIn(self.names()[0], self.factory(config, "status").stdout)
        self.assertEqual(self.start(config)[0], "template")
        done = self.factory(config, "destroy")
        self.assertEqual((done.returncode, done.stdout), (0, "1 template removed\n"), done.stderr)
        self.assertEqual(templates(), [])
        missing = self.config("missing", kernel="/nowhere/vmlinuz")
        done = self.factory(missing, "init")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nowhere/vmlinuz", done.stderr)
        self.assert_clean()

    def test_running_containers_keep_a_template_that_is_removed(self):
        config = self.config()
        self.start(config)
        self.await_template()
        self.containerd.run_detached(self.name, ["sleep", "1000"], "--runtime-config-path", config)
        shutil.rmtree(self.templates)
        self.assert_output(self.containerd.exec(self.name, ["echo", "alive"]), "alive\n")
        self.containerd.remove(self.name)
        self.assert_clean()

    @core
    def test_twenty_copies_agree_on_nothing_that_must_differ(self):
        config = self.config()
        self.start(config)
        self.await_template()
        command = self.shell("head -c 16 /dev/urandom | od -An -tx1",
                             "cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id",
                             "cat /proc/self/stat | cut -d' ' -f 28", "date +%s")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            names = [self.containerd.new_id() for _ in range(20)]
            began = time.time()
            results = list(pool.map(lambda name: self.start(config, command, name), names))
        self.assertEqual([origin for origin, _ in results], ["template"] * 20)
        facts = [out.split("\n") for _, out in results]
        for number, fact in enumerate(["urandom", "uuid", "boot id", "stack of the program"]):
            values = [lines[number] for lines in facts]
            self.assertEqual(len(set(values)), 20, f"{fact}: {values}")
        for lines in facts:
            self.assertLessEqual(began - 2, int(lines[4]), "the clock is not the template's")
            self.assertLessEqual(int(lines[4]), time.time() + 2)
        self.assert_clean()

    @core
    def test_a_copy_grows_to_what_the_container_asks_for(self):
        config = self.config(default_maxvcpus=2)
        self.start(config)
        self.await_template()
        origin, out = self.start(
            config, self.shell("grep MemTotal /proc/meminfo", "nproc"),
            flags=("--memory-limit", str(256 << 20), "--cpu-quota", "100000"))
        # Where a machine that runs gets no more processors, one boots with them.
        self.assertEqual(origin, "template" if self.runtime.plugs_processors() else "boot")
        total = int(re.search(r"MemTotal:\s+(\d+)", out)[1]) >> 10
        # Of 512 MiB; before it grew there were 256.
        self.assertGreater(total, 350, out)
        self.assertEqual(out.split()[-1], "2", out)
        self.assert_clean()


@only("kata", "runc has no machines")
class WarmMachines(FactoryCase):
    """The service kata-factory with machines of its own configuration."""

    def setUp(self):
        super().setUp()
        self.service = None

    def tearDown(self):
        super().tearDown()
        self.end_service()

    def begin_service(self, count=1, bin_dir=None):
        self.log = open(f"{self.folder}/factory.log", "ab")
        self.service = subprocess.Popen(
            [f"{bin_dir or self.runtime.bin_dir}/kata-factory", "--config", self.runtime.config,
             "--count", str(count)], stderr=self.log, stdout=self.log, env={**os.environ, **self.runtime.environment()})
        self.await_ready(count)

    def end_service(self, number=signal.SIGTERM):
        if self.service:
            self.service.send_signal(number)
            self.service.wait(30)
            self.log.close()
        self.service = None

    def status(self):
        done = subprocess.run([f"{self.runtime.bin_dir}/kata-runtime", "--config", self.runtime.config,
                               "factory", "status", "--json"], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["warm"]

    def await_ready(self, count):
        def tail():
            with open(f"{self.folder}/factory.log") as file:
                return file.read()[-2000:]
        wait_until(lambda: self.status().get("ready") == count, SECONDS,
                   lambda: f"{count} ready: {self.status()}; {tail()}")

    def start(self, config=None, command=("true",), name=None, flags=()):
        return super().start(config or self.runtime.config, command, name, flags)

    @core
    def test_a_start_takes_a_warm_machine_and_the_next_is_made(self):
        self.begin_service()
        for word in ("one", "two"):
            self.await_ready(1)
            self.assertEqual(self.start(command=["echo", word]), ("warm", f"{word}\n"))
        self.assertEqual(self.status()["given"], 2)
        self.end_service()
        self.assert_clean()

    def test_a_machine_has_rehearsed_layers_and_keeps_nothing_of_it(self):
        need_layers(self.runtime)
        self.runtime.write_config(self.runtime.config, settings={"rootfs_layers": True})
        self.addCleanup(self.runtime.write_config, self.runtime.config)
        self.begin_service()
        with open(f"{self.folder}/factory.log") as file:
            self.assertNotIn("rehearsed without layers", file.read())
        with open(f"/proc/{self.service.pid}/mountinfo") as file:
            self.assertNotIn("rehearsal", file.read())
        self.assertEqual(self.start(command=["echo", "one"]), ("warm", "one\n"))
        self.end_service()
        self.assert_clean()

    @core
    def test_what_was_taken_outlives_the_service(self):
        self.begin_service()
        self.containerd.run_detached(self.name, ["sleep", "1000"])
        self.assertEqual(self.origin(self.name), "warm")
        self.await_ready(1)
        self.end_service(signal.SIGKILL)
        self.assert_output(self.containerd.exec(self.name, ["echo", "alive"]), "alive\n")
        origin = self.start()[0]
        self.assertEqual(origin, self.runtime.start_from, self.containerd.log_tail(6000))
        self.begin_service()
        self.assertEqual(self.start()[0], "warm")
        self.assert_output(self.containerd.exec(self.name, ["echo", "alive"]), "alive\n")
        self.containerd.remove(self.name)
        self.end_service()
        self.assert_clean()

    def test_a_container_of_another_configuration_leaves_it_waiting(self):
        if Settings.series == "1.6":
            self.skipTest("containerd 1.6 tells a shim of the configuration when it is there already")
        self.begin_service()
        other = self.config("other", default_memory=320,
                            factory={"vm_cache_endpoint": f"{self.containerd.base}/factory.sock"})
        self.assertEqual(self.start(other)[0], "boot")
        status = self.status()
        self.assertEqual((status["config"], status["given"], status["ready"]), (self.runtime.config, 0, 1))
        self.assertEqual(self.start()[0], "warm")

    def test_the_service_ends_with_its_machines_and_no_leavings(self):
        self.begin_service(2)
        self.end_service()
        wait_until(lambda: not glob.glob("/run/vc/sbs/warm-*"), SECONDS, lambda: "no record is left")
        self.assertEqual(glob.glob("/run/vc/vm/warm-*"), [])
        self.assertEqual(glob.glob("/run/kata-containers/shared/sandboxes/warm-*"), [])
        self.assert_clean()

    @core
    def test_two_warm_machines_agree_on_nothing_that_must_differ(self):
        self.begin_service(2)
        command = self.shell("head -c 16 /dev/urandom | od -An -tx1",
                             "cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id")
        first, second = self.start(command=command), self.start(command=command)
        self.assertEqual([first[0], second[0]], ["warm", "warm"])
        for one, other in zip(first[1].split("\n")[:3], second[1].split("\n")[:3]):
            self.assertNotEqual(one, other)

    def test_nothing_of_the_rehearsal_is_seen(self):
        self.begin_service()
        origin, out = self.start(command=self.shell(
            "hostname; ls /; cat /proc/mounts; ls /sys/class/net; ps 2>/dev/null || true"))
        self.assertEqual(origin, "warm")
        self.assertNotIn("rehearsal", out)
        self.assertNotIn("eth0", out)

    @core
    def test_another_configuration_is_served_all_the_same(self):
        self.begin_service()
        config = self.runtime.write_config(f"{self.folder}/big.toml", factory={
            "enable_template": True}, default_memory=288)
        self.assertEqual(self.start(config)[0], "template", "the warm one does not fit")
        self.await_ready(1)
        self.assertEqual(self.start()[0], "warm")
        self.end_service()
        self.assert_clean()

    def test_sighup_replaces_those_that_wait(self):
        self.begin_service()
        old = glob.glob("/run/vc/sbs/warm-*")
        self.service.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(old) & set(glob.glob("/run/vc/sbs/warm-*")), SECONDS,
                   lambda: f"{old} are gone")
        self.await_ready(1)
        self.assertEqual(self.start()[0], "warm")
        self.end_service()
        self.assert_clean()

    def test_a_shim_of_another_build_is_not_taken(self):
        other = f"{self.folder}/bin"
        shutil.copytree(self.runtime.bin_dir, other)
        self.begin_service(bin_dir=other)
        origin = self.start()[0]
        self.assertEqual(origin, self.runtime.start_from, self.containerd.log_tail(6000))
        self.await_ready(1)
        self.end_service()
        self.assert_clean()

    def test_more_starts_than_machines(self):
        self.begin_service()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            origins = [origin for origin, _ in pool.map(lambda _: self.start(), range(8))]
        self.assertIn("warm", origins)
        self.assertEqual(set(origins) - {"warm", "template"}, set(), origins)
        self.await_ready(1)
        self.end_service()
        self.assert_clean()

    def test_a_warm_machine_that_dies_is_replaced(self):
        self.begin_service()
        for count, role in enumerate(("vmm", "virtiofsd", "shim"), 1):
            self.await_ready(1)
            name = os.path.basename(glob.glob("/run/vc/sbs/warm-*")[0])
            with open(f"/run/vc/sbs/{name}/record.json") as file:
                pids = {each["role"]: each["pid"] for each in json.load(file)["processes"]}
            os.kill(pids[role], signal.SIGKILL)
            wait_until(lambda: self.status()["failed"] == count, SECONDS, self.status)
            self.assertFalse(os.path.exists(f"/run/vc/sbs/{name}"), role)
        self.await_ready(1)
        self.assertEqual(self.start()[0], "warm")
        self.end_service()
        self.assert_clean()

    def test_it_looks_like_any_shim(self):
        self.begin_service()
        self.containerd.run_detached(self.name, ["sleep", "1000"])
        self.assertEqual(self.origin(self.name), "warm")
        pid = self.runtime.shim_pid(self.containerd, self.name)
        self.assertIsNotNone(pid)
        bundle = self.containerd.bundle(self.name)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), os.path.realpath(bundle))
        with open(f"{bundle}/shim.pid") as file:
            self.assertEqual(file.read(), str(pid))
        with open(f"/proc/{pid}/cgroup") as file:
            self.assertIn(self.name, file.read())

    def test_limits_and_networks_fit_a_warm_machine(self):
        self.begin_service()
        origin, out = self.start(command=self.shell("grep MemTotal /proc/meminfo"),
                                 flags=("--memory-limit", str(256 << 20)))
        self.assertEqual(origin, "warm")
        self.assertGreater(int(re.search(r"MemTotal:\s+(\d+)", out)[1]) >> 10, 400, out)
