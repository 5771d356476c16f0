# SPDX-License-Identifier: Apache-2.0
"""Fields of the OCI runtime specification, seen from inside of the container."""

import json
import os
import time

from support.case import ContainerdCase, Settings, core, only
from support.spec import SpecRunner, capabilities, make_executable
from testbed.process import wait_until

NEWER_THAN_RUNC = "runc of Debian 12 does not know these fields"


def knows_newer_fields():
    """containerd 1.6 reads a specification as version 1.0 has it and drops what came later."""
    return Settings.series != "1.6"


class SpecCase(ContainerdCase):
    @classmethod
    def set_up_bed(cls):
        cls.specs = SpecRunner(cls.containerd)

    def spec(self, *script):
        return self.specs.new(self.name, "\n".join(script))

    def need_newer_fields(self):
        if not knows_newer_fields():
            self.skipTest("containerd 1.6 drops fields that are newer than itself")

    def outcome(self, spec, code=0):
        """What the container says, as lines."""
        done = self.specs.run(self.name, spec, "--rm", timeout=90)
        self.assert_code(done, code)
        return done.out.splitlines()


class Process(SpecCase):
    @only("kata", NEWER_THAN_RUNC)
    @core
    def test_scheduling_limits_ids_and_capabilities_are_those_of_the_specification(self):
        self.need_newer_fields()
        spec = self.spec(
            "id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj; ulimit -n; uname -m",
            "read -r line < /proc/self/stat; set -- $line; shift 18; echo nice $1; shift 22; "
            "echo policy $1; ionice -p $$; grep -E 'Cap|NoNew' /proc/self/status")
        spec["process"].update({
            "user": {"uid": 1000, "gid": 1001, "additionalGids": [1500], "umask": 0o27},
            "oomScoreAdj": -500, "noNewPrivileges": True,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}],
            "scheduler": {"policy": "SCHED_BATCH", "nice": -3},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2},
            "capabilities": capabilities("CAP_NET_RAW", "CAP_KILL")})
        spec["linux"]["personality"] = {"domain": "LINUX32"}
        lines = self.outcome(spec)
        self.assertEqual(lines[:10], ["1000", "1001", "1001 1500", "0027", "-500", "77", "i686",
                                      "nice -3", "policy 3", "best-effort: prio 2"])
        self.assertEqual({line.split("\t")[1] for line in lines[10:15]}, {"0000000000002020"})
        self.assertEqual(lines[15], "NoNewPrivs:\t1")

    @only("kata", NEWER_THAN_RUNC)
    def test_clocks_can_be_shifted_and_the_domain_name_set(self):
        self.need_newer_fields()
        spec = self.spec("read -r up rest < /proc/uptime; [ ${up%.*} -gt 900000000 ] && echo later",
                         "cat /proc/sys/kernel/domainname; hostname")
        spec["linux"]["namespaces"].append({"type": "time"})
        spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000000}}
        spec["hostname"], spec["domainname"] = "host-of-spec", "domain.of.spec"
        self.assertEqual(self.outcome(spec), ["later", "domain.of.spec", "host-of-spec"])

    @core
    def test_a_user_namespace_maps_ids_inside_and_on_the_host(self):
        tree = self.tree_of(100000)
        spec = self.specs.new(self.name, "id -u; read -r a b c < /proc/self/uid_map; echo $a $b $c; "
                              "touch /mine; stat -c %u /mine /dev/null /", tree)
        spec["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = mapping
        # A sysfs needs a network namespace of the same user.
        self.assertEqual(self.outcome(spec), ["0", "0 100000 65536", "0", "0", "0"])
        self.assertEqual(os.stat(f"{tree}/mine").st_uid, 100000)

    def tree_of(self, owner):
        tree = self.specs.tree(self.name)
        for top, folders, files in os.walk(tree):
            for name in [*folders, *files]:
                os.lchown(f"{top}/{name}", owner, owner)
        os.chown(tree, owner, owner)
        return tree

    @only("kata", NEWER_THAN_RUNC)
    def test_owners_of_a_volume_are_mapped_and_stay_what_they_are_on_the_disk(self):
        volume = f"{self.containerd.base}/{self.name}-volume"
        os.mkdir(volume)
        with open(f"{volume}/theirs", "w"):
            pass
        bind = {"type": "bind", "source": volume, "destination": "/ids"}
        spec = self.specs.new(self.name, "stat -c %u:%g /ids/theirs; touch /ids/mine; stat -c %u /ids/mine",
                              self.tree_of(100000))
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = [
            {"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["mounts"].append({**bind, "options": ["rbind", "idmap"]})
        self.assertEqual(self.outcome(spec), ["0:0", "0"])
        self.assertEqual(os.stat(f"{volume}/mine").st_uid, 0)
        self.containerd.remove(self.name)

        self.name = self.containerd.new_id()
        spec = self.spec("stat -c %u:%g /ids/mine; touch /ids/other 2>&1 || true")
        spec["process"]["user"] = {"uid": 7, "gid": 7}
        spec["mounts"].append({**bind, "options": ["bind", "ro"],
                               "uidMappings": [{"containerID": 0, "hostID": 5000, "size": 10}],
                               "gidMappings": [{"containerID": 0, "hostID": 6000, "size": 10}]})
        self.assertEqual(self.outcome(spec),
                         ["5000:6000", "touch: /ids/other: Read-only file system"])


class Seccomp(SpecCase):
    PROFILE = {"defaultAction": "SCMP_ACT_ALLOW",
               "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
               "syscalls": [{"names": ["mkdir", "mkdirat", "no_such_call"],
                             "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
                            {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}]}

    @staticmethod
    def applies(condition):
        """Rules for all, and those that only an architecture's name keeps from that."""
        return not condition or list(condition) == ["arches"] and "amd64" in condition["arches"]

    def test_ordinary_programs_run_under_podmans_profile(self):
        path = "/usr/share/containers/seccomp.json"
        if not os.path.exists(path):
            self.skipTest(f"{path} is missing: apt-get install golang-github-containers-common")
        with open(path) as file:
            profile = json.load(file)
        rules = [{key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)}
                 for rule in profile["syscalls"] if self.applies(rule.get("includes") or {})]
        spec = self.spec("ls / > /dev/null && cat /etc/kata-e2e | wc -l; sleep 0.1; "
                         "grep Seccomp: /proc/self/status")
        spec["linux"]["seccomp"] = {"defaultAction": profile["defaultAction"], "syscalls": rules,
                                    "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
                                    "architectures": self.PROFILE["architectures"]}
        self.assertEqual(self.outcome(spec), ["1", "Seccomp:\t2"])

    @core
    def test_the_profile_holds_for_the_program_and_for_execs(self):
        for no_new_privileges in (True, False):
            spec = self.spec("mkdir /x; grep Seccomp: /proc/self/status; sleep 1000")
            spec["process"]["noNewPrivileges"] = no_new_privileges
            spec["linux"]["seccomp"] = self.PROFILE
            name = self.name = self.containerd.new_id()
            log = f"{self.containerd.base}/{name}.log"
            done = self.specs.run(name, spec, "-d", "--log-uri", f"file://{log}", timeout=90)
            self.assert_code(done, 0)
            def said():
                with open(log) as file:
                    return "Seccomp:\t2" in file.read()
            wait_until(said, 20, "the program runs under a filter")
            with open(log) as file:
                self.assertIn("Read-only file system", file.read())
            done = self.containerd.exec(name, ["mkdir", "/y"])
            self.assertNotEqual(done.code, 0)
            self.assertIn("Read-only file system", done.err)
            self.assert_code(self.containerd.exec(name, ["hostname", "x"]), 128 + 31)
            self.containerd.remove(name)


class Resources(SpecCase):
    @only("kata", "this machine's version 2 hierarchy has no controllers")
    @core
    def test_control_files_of_version_2_have_the_values_of_the_specification(self):
        self.need_newer_fields()
        files = {"memory.max": "134217728", "memory.swap.max": "67108864",
                 "memory.low": "33554432", "memory.min": "1048576", "memory.high": "100003840",
                 "cpu.max": "40000 80000", "cpu.max.burst": "10000", "cpu.weight": "100",
                 "cpuset.cpus": "0", "pids.max": "50"}
        spec = self.spec(f"cd /sys/fs/cgroup; for f in {' '.join(files)}; do cat $f; done; nproc")
        spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                               "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]})
        spec["linux"]["resources"].update({
            "memory": {"limit": 134217728, "swap": 201326592, "reservation": 33554432},
            "cpu": {"quota": 40000, "period": 80000, "burst": 10000, "shares": 1024, "cpus": "7"},
            "pids": {"limit": 50},
            "unified": {"memory.high": "100003840", "memory.min": "1048576"}})
        self.assertEqual(self.outcome(spec), [*files.values(), "1"])

    @only("kata", "this machine's version 2 hierarchy has no controllers")
    def test_memory_beyond_the_limit_ends_the_program_with_137(self):
        spec = self.spec("tail /dev/zero")
        spec["process"]["args"] = ["tail", "/dev/zero"]
        spec["linux"]["resources"]["memory"] = {"limit": 20 << 20}
        with self.containerd.events() as events:
            self.outcome(spec, 137)
            self.assertTrue(events.wait_for(self.name, "/tasks/oom"))

    @only("kata", "this machine's version 2 hierarchy has no controllers")
    def test_a_fork_bomb_is_held(self):
        # The shell that waits forks no more.
        spec = self.spec(
            "sh -c 'f() { f | f & }; f' 2>/dev/null &",
            "read -r now rest < /proc/uptime; end=$((${now%.*} + 3))",
            "while [ ${now%.*} -lt $end ]; do read -r now rest < /proc/uptime; done; echo alive")
        spec["linux"]["resources"]["pids"] = {"limit": 30}
        self.assertIn("alive", self.outcome(spec))


class Files(SpecCase):
    @core
    def test_mount_options_masked_and_read_only_paths(self):
        folder = f"{self.containerd.base}/share-{self.name}"
        os.makedirs(f"{folder}/deep")
        spec = self.spec(
            "ls /copy; touch /copy/new && echo copied",
            "touch /share/x 2>&1; touch /share/deep/x 2>&1",
            "cat /etc/kata-e2e; touch /var/x 2>&1; ls /root | wc -l; touch /root/x 2>&1",
            "grep ' /quiet ' /proc/self/mounts | grep -c noatime")
        spec["mounts"] += [
            {"destination": "/copy", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
            {"destination": "/share", "type": "bind", "source": folder,
             "options": ["rbind", "rro"] if self.runtime.is_vm else ["rbind", "ro"]},
            {"destination": "/quiet", "type": "tmpfs", "source": "tmpfs",
             "options": ["noatime", "nosuid", "size=1m", "mode=700"]}]
        tree = spec["root"]["path"]
        os.makedirs(f"{tree}/copy")
        with open(f"{tree}/copy/old", "w"), open(f"{tree}/root/secret", "w"):
            pass
        spec["linux"]["maskedPaths"] = ["/etc/kata-e2e", "/root", "/no/such/path"]
        spec["linux"]["readonlyPaths"] = ["/var"]
        refused = "Read-only file system"
        lines = self.outcome(spec)
        self.assertEqual(lines[:2], ["old", "copied"])
        self.assertEqual([line.split(": ")[-1] for line in lines[2:5]], [refused] * 3)
        self.assertEqual(lines[5], "0")
        self.assertEqual(lines[6].split(": ")[-1], refused)
        self.assertEqual(lines[7], "1")
        self.assertEqual(os.listdir(folder), ["deep"])

    @only("kata", "runc of Debian 12 follows them")
    @core
    def test_images_with_links_in_place_of_dev_and_proc_are_refused(self):
        for place in ("proc", "dev", "sys"):
            self.name = self.containerd.new_id()
            spec = self.spec("echo never")
            tree = spec["root"]["path"]
            os.rmdir(f"{tree}/{place}")
            os.symlink("tmp", f"{tree}/{place}")
            done = self.specs.run(self.name, spec, timeout=90)
            self.assertNotEqual(done.code, 0, place)
            self.assertNotIn("never", done.out)
            self.assertIn("must be mounted on ordinary directory", done.err)
            self.assertEqual(os.listdir(f"{tree}/tmp"), [], place)

    def test_an_empty_root_file_system_has_no_program(self):
        tree = f"{self.containerd.base}/empty-{self.name}"
        os.makedirs(tree)
        spec = self.specs.new(self.name, "", tree)
        spec["process"]["args"] = ["/bin/sh"]
        done = self.specs.run(self.name, spec, timeout=90)
        self.assertNotEqual(done.code, 0)
        self.assertIn("no such file or directory", done.err)

    @core
    def test_a_working_directory_behind_a_descriptor_is_refused(self):
        for number in (3, 5, 7, 9):
            self.name = self.containerd.new_id()
            spec = self.spec("echo never")
            spec["process"]["cwd"] = f"/proc/self/fd/{number}"
            done = self.specs.run(self.name, spec, timeout=90)
            self.assertNotEqual(done.code, 0, number)
            self.assertNotIn("never", done.out)
            self.assertRegex(done.err, "cwd|/proc/self/fd/")


class Hooks(SpecCase):
    def hook(self, word, text="", timeout=None):
        """A hook that writes its word and its state below the bed's folder."""
        path = f"{self.containerd.base}/hook-{word}-{self.name}"
        make_executable(path, f"#!/bin/sh\n{text}\ncat > {path}.state\n"
                        f"echo {word} $1 $WORD >> {self.order}\n")
        hook = {"path": path, "args": ["hook", "argument"], "env": ["WORD=word", "PATH=/bin:/usr/bin"]}
        return {**hook, "timeout": timeout} if timeout else hook

    def state(self, word):
        with open(f"{self.containerd.base}/hook-{word}-{self.name}.state") as file:
            return json.load(file)

    @property
    def order(self):
        return f"{self.containerd.base}/order-{self.name}"

    def said(self):
        with open(self.order) as file:
            return file.read().split("\n")[:-1]

    @core
    def test_hooks_run_in_order_with_the_state(self):
        spec = self.spec("cat /hooked")
        spec["hooks"] = {kind: [self.hook(kind)] for kind in
                         ("createRuntime", "prestart", "poststart", "poststop")}
        spec["hooks"]["startContainer"] = [
            {"path": "/bin/sh", "args": ["sh", "-c", "echo inside > /hooked"],
             "env": ["PATH=/bin"], "timeout": 20}]
        self.assertEqual(self.outcome(spec), ["inside"])
        self.assertEqual(self.said(), [f"{kind} argument word" for kind in
                                       ("prestart", "createRuntime", "poststart", "poststop")])
        state = self.state("createRuntime")
        self.assertEqual((state["id"], state["status"]), (self.name, "creating"))
        self.assertGreater(state["pid"], 0)
        self.assertTrue(os.path.isabs(state["bundle"]))
        self.assertEqual(self.state("poststop")["status"], "stopped")
        self.assert_clean()

    @core
    def test_a_hook_that_fails_fails_the_creation_and_leaves_nothing(self):
        spec = self.spec("echo never")
        spec["hooks"] = {"createRuntime": [self.hook("bad", "echo will not; exit 3")],
                         "poststop": [self.hook("poststop")]}
        done = self.specs.run(self.name, spec, timeout=90)
        self.assertNotEqual(done.code, 0)
        self.assertNotIn("never", done.out)
        self.assertIn("hook #0", done.err)
        self.assertIn("will not", done.err)
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_poststart_hook_that_fails_fails_the_start(self):
        spec = self.spec("sleep 1000")
        spec["hooks"] = {"poststart": [self.hook("late", "exit 3")]}
        done = self.specs.run(self.name, spec, timeout=90)
        self.assertNotEqual(done.code, 0)
        self.assertIn("hook #0", done.err)
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_hook_that_takes_too_long_is_killed(self):
        spec = self.spec("echo never")
        spec["hooks"] = {"prestart": [self.hook("slow", "exec sleep 1000", timeout=1)]}
        done = self.specs.run(self.name, spec, timeout=90)
        self.assertNotEqual(done.code, 0)
        self.assertIn("hook #0", done.err)
        self.containerd.remove(self.name)
        self.assert_clean()


@only("kata", "what a virtual machine refuses")
class Refused(SpecCase):
    def cases(self):
        def process(**fields):
            return lambda spec: spec["process"].update(fields)
        def linux(**fields):
            return lambda spec: spec["linux"].update(fields)
        rule = {"names": ["read"], "action": "SCMP_ACT_NOTIFY"}
        return {
            "ociVersion": lambda spec: spec.update(ociVersion="3.0"),
            "process.cwd": process(cwd="relative"),
            "oomScoreAdj": process(oomScoreAdj=2000),
            "scheduler.policy": process(scheduler={"policy": "SCHED_FAST"}),
            "ioPriority.class": process(ioPriority={"class": "HIGH", "priority": 1}),
            "SCMP_ACT_NOTIFY": linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
            "defaultAction": linux(seccomp={"defaultAction": "NO"}),
            "Intel RDT": linux(intelRdt={"closID": "guaranteed"}),
            "needs a user namespace": linux(uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}]),
            "needs a time namespace": linux(timeOffsets={"monotonic": {"secs": 1}}),
            "personality.domain": linux(personality={"domain": "SOLARIS"}),
            "cpu.cpus": linux(resources={"cpu": {"cpus": "0-"}}),
            "memory.limit": linux(resources={"memory": {"limit": -5}}),
            "no such file": lambda spec: spec["mounts"].append(
                {"destination": "/x", "source": "/no/such", "type": "bind", "options": ["rbind"]}),
            "cannot be joined": lambda spec: spec["linux"]["namespaces"].append(
                {"type": "user", "path": "/proc/1/ns/user"}),
        }

    @core
    def test_bad_input_is_named_at_once_and_boots_nothing(self):
        self.need_newer_fields()
        tree = self.specs.tree(self.name)
        for words, spoil in self.cases().items():
            with self.subTest(words):
                name = self.containerd.new_id()
                spec = self.specs.new(name, "echo never", tree)
                spoil(spec)
                begin = time.monotonic()
                done = self.specs.run(name, spec)
                seconds = time.monotonic() - begin
                self.assertNotEqual(done.code, 0)
                self.assertIn(words, done.err)
                self.assertLess(seconds, 10, "a shim is started and ended, no more")
                self.containerd.remove(name)
        self.assert_clean()
