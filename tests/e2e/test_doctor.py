# SPDX-License-Identifier: Apache-2.0
"""kata-runtime doctor: what it says of a host that is well and of one that is not, and what it leaves."""

import glob
import json
import os
import signal
import subprocess
import tarfile
import time
import unittest

from support.case import Settings, core, snapshot
from support.oci import OciCase, program
from testbed.process import run, wait_until

ROOMS = "/run/kata-runtime-doctor"
PHASES = ["network", "machine", "container", "start", "exec", "packets", "files", "processor", "end"]


class Doctor(OciCase):
    @classmethod
    def setUpClass(cls):
        if not Settings.runtime.is_vm:
            raise unittest.SkipTest("kata only: a command of ours")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.before = snapshot()

    def tearDown(self):
        super().tearDown()
        left = self.before.compare()
        if left:
            self.before.purge("doctor-")
            self.fail("the host still has:\n  " + "\n  ".join(left))

    def doctor(self, *words, config=None, env=None, timeout=400):
        argv = [program(), *(["--config", config] if config else []), "doctor", *words]
        return run(argv, timeout, env={**self.env, **(env or {})})

    def result(self, *words, **options):
        done = self.doctor("--json", *words, **options)
        return done, json.loads(done.out)

    def finding(self, result, name, group="findings"):
        found = [each for each in result[group] if each["name"] == name]
        self.assertTrue(found, f"no finding {name} in {result}")
        return found[0]

    def broken(self, name, **changes):
        return self.runtime.write_config(f"{self.base}/{name}.toml",
                                         agent={"dial_timeout": 20, "create_container_timeout": 30},
                                         **changes)

    @core
    def test_tries_everything_and_says_how_long_it_took(self):
        done, result = self.result()
        self.assertEqual(done.code, 0, done)
        self.assertTrue(result["ok"])
        phases = [phase["name"] for phase in result["phases"] if phase["name"] != "template"]
        self.assertEqual(phases, PHASES)
        for phase in result["phases"]:
            self.assertEqual(phase["error"], "")
            self.assertGreaterEqual(phase["milliseconds"], 0)
        self.assertIn(result["began_from"], ("boot", "template", "warm"))
        figures = result["figures"]
        self.assertEqual(figures["packets_received"], figures["packets_sent"])
        self.assertGreater(figures["guest_speed"], 0)
        self.assertGreater(figures["read_mib_per_second"], 0)
        self.assertFalse(os.path.exists(ROOMS))

    def test_the_text_says_what_is_slow_and_what_to_do(self):
        done = self.doctor()
        self.assertEqual(done.code, 0, done)
        self.assertIn("Containers run on this host.", done.out)
        if '"tcg"' in self.doctor("--json").out:
            self.assertRegex(done.out, r"note +processor +guest code runs at 1/\d+\.\d of this host's speed")
            self.assertIn("nested virtualization", done.out)

    def test_a_kernel_that_is_broken_is_named_before_anything_is_tried(self):
        kernel = f"{self.base}/kernel"
        with open(kernel, "wb") as file:
            file.write(b"\x7fELF" + bytes(4096))
        done, result = self.result(config=self.broken("kernel", kernel=kernel))
        self.assertEqual(done.code, 1)
        self.assertFalse(result["ok"])
        self.assertEqual(self.finding(result, "kernel", "checks")["verdict"], "problem")
        self.assertEqual(result["phases"], [])
        self.assertIn("nothing was tried", self.finding(result, "trial")["detail"])

    def test_a_guest_that_cannot_boot_is_a_problem_of_its_creation(self):
        # It begins as an initrd does, and has no /init.
        initrd = f"{self.base}/initrd"
        with open(initrd, "wb") as file:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"", stdout=file, check=True)
        done, result = self.result(config=self.broken("initrd", initrd=initrd))
        self.assertEqual(done.code, 1)
        problem = [each for each in result["findings"] if each["verdict"] == "problem"] or \
            [each for each in result["checks"] if each["verdict"] == "problem"]
        self.assertTrue(problem, result)
        self.assertTrue(problem[0]["detail"])

    def test_a_virtiofsd_that_is_missing_is_named_with_the_remedy(self):
        done, result = self.result(config=self.broken("virtiofsd", virtio_fs_daemon="/none/virtiofsd"))
        self.assertEqual(done.code, 1)
        finding = self.finding(result, "virtiofsd", "checks")
        self.assertEqual(finding["verdict"], "problem")
        self.assertIn("/none/virtiofsd", finding["detail"])

    def test_a_virtiofsd_that_does_not_serve_is_a_problem(self):
        daemon = f"{self.base}/virtiofsd"
        with open(daemon, "w") as file:
            file.write("#!/bin/sh\n[ \"$1\" = --version ] && echo virtiofsd 1.13.0 && exit 0\n"
                       "[ \"$1\" = --help ] && echo '--shared-dir\\n--fd' && exit 0\n"
                       "echo no such luck >&2\nexit 1\n")
        os.chmod(daemon, 0o755)
        done, result = self.result(config=self.broken("serve", virtio_fs_daemon=daemon))
        self.assertEqual(done.code, 1)
        finding = self.finding(result, "create")
        self.assertEqual(finding["verdict"], "problem")
        self.assertIn("virtiofsd", finding["remedy"])

    def test_a_machine_with_tiny_memory_is_a_problem_or_a_slow_one_but_ends(self):
        done, result = self.result(config=self.broken("tiny", default_memory=64))
        self.assertIn(done.code, (0, 1))
        self.assertEqual(result["ok"], done.code == 0)
        if not result["ok"]:
            self.assertTrue([each for each in result["findings"] + result["checks"]
                             if each["verdict"] == "problem" and each["detail"]], result)

    def test_it_gives_up_at_its_deadline(self):
        begin = time.monotonic()
        done, result = self.result("--timeout", "1", config=self.broken("late", default_vcpus=1,
                                                                        default_memory=200))
        self.assertEqual(done.code, 1, done)
        self.assertLess(time.monotonic() - begin, 120)
        self.assertTrue([phase for phase in result["phases"] if "did not end within" in phase["error"]],
                        result["phases"])

    def test_an_interrupt_at_any_time_leaves_nothing(self):
        for number, delay in ((signal.SIGINT, 0.3), (signal.SIGTERM, 1.5), (signal.SIGINT, 3)):
            with self.subTest(delay=delay):
                child = subprocess.Popen([program(), "doctor", "--json"], env=self.env,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                with self.background(child):
                    wait_until(lambda: glob.glob(f"{ROOMS}/*") or child.poll() is not None, 60,
                               "a room of the doctor's")
                    time.sleep(delay)
                    child.send_signal(number)
                    child.wait(120)
                    # On a fast machine it has ended by then.
                    self.assertIn(child.returncode, (128 + number, *([0] if delay > 1 else [])))
                self.assertFalse(os.path.exists(ROOMS))

    def test_the_next_one_clears_away_what_a_killed_one_left(self):
        child = subprocess.Popen([program(), "doctor", "--json"], env=self.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self.background(child):
            wait_until(lambda: glob.glob(f"{ROOMS}/*/state/*/state.json") or child.poll() is not None,
                       120, "a container of the doctor's")
            child.kill()
        done = self.doctor("--json")
        self.assertEqual(done.code, 0, done)
        self.assertFalse(os.path.exists(ROOMS))

    def test_wrong_usage_is_2(self):
        for words in (["--timeout", "0"], ["--timeout", "x"], ["--nonsense"], ["word"]):
            self.assertEqual(self.doctor(*words).code, 2, words)

    def test_a_bundle_has_what_helps_and_no_secrets(self):
        config = self.runtime.write_config(f"{self.base}/secret.toml")
        with open(config, "a") as file:
            file.write("# proxy http://joe:hunter2@proxy.example:3128 token=abcdefgh\n"
                       "# password: correct-horse\n# Authorization: Bearer xyzzyxyzzy\n")
        target = f"{self.base}/help.tar.gz"
        secrets = {"KATA_TEST_TOKEN": "planted-in-environment", "https_proxy": "http://u:planted-proxy@x"}
        done = self.doctor("--bundle", target, config=config, env=secrets)
        self.assertEqual(done.code, 0, done)
        self.assertEqual(os.stat(target).st_mode & 0o777, 0o600)
        with tarfile.open(target) as bundle:
            texts = {member.name.partition("/")[2]: bundle.extractfile(member).read().decode(errors="replace")
                     for member in bundle if member.isfile()}
            self.assertEqual({(member.uid, member.uname) for member in bundle}, {(0, "")})
        for name in ("README.txt", "doctor.txt", "doctor.json", "env.txt", "factory.json", "versions.txt",
                     "host.txt", "logs/shim.log", "logs/kernel.log", "configuration/1-secret.toml"):
            self.assertIn(name, texts)
        whole = "\n".join(texts.values())
        for secret in ("hunter2", "abcdefgh", "correct-horse", "xyzzyxyzzy", "planted-in-environment",
                       "planted-proxy"):
            self.assertNotIn(secret, whole)
        host = os.uname().nodename
        if len(host) > 2:
            self.assertNotRegex(whole, rf"(?i)(?<!\w){host}(?!\w)")
        self.assertIn("default_memory", texts["configuration/1-secret.toml"])
        self.assertTrue(json.loads(texts["doctor.json"])["ok"])
        self.assertIn("QEMU", texts["versions.txt"])

    def test_a_bundle_never_replaces_a_file(self):
        target = f"{self.base}/mine"
        with open(target, "w") as file:
            file.write("mine\n")
        done = self.doctor("--bundle", target)
        self.assertEqual(done.code, 1)
        self.assertIn("there is such a file", done.err)
        with open(target) as file:
            self.assertEqual(file.read(), "mine\n")
        self.assertEqual(self.doctor("--bundle", f"{self.base}/none/x").code, 1)

