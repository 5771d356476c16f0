# SPDX-License-Identifier: Apache-2.0
"""Small parts: what programs print, seccomp filters, the journal, discovery, progress, the command line."""

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

from . import ROOT
from kata_bench import (cli, commands, discover, journal, kata_modes, processes, progress, rootfs, seccomp,
                        worker)
from kata_bench.workloads import cpu, inside, isolation, network
from kata_bench.workloads import io as files_io
from testbed import leftovers


class Outputs(unittest.TestCase):
    def test_of_fio_become_figures(self):
        text = "fio: a warning\n" + json.dumps({"jobs": [
            {"jobname": "seqread", "error": 0, "read": {"bw_bytes": 3 << 20, "iops": 24},
             "write": {"bw_bytes": 0, "iops": 0}},
            {"jobname": "randwrite", "error": 0, "read": {"bw_bytes": 0, "iops": 0},
             "write": {"bw_bytes": 1, "iops": 512.5}},
            {"jobname": "sync", "error": 0, "read": {}, "write": {"bw_bytes": 1, "iops": 40}}]})
        self.assertEqual(files_io.figures(text, "bind"), {
            "io.bind.seqread": 3, "io.bind.randwrite": 512.5, "io.bind.sync": 40})

    def test_of_fio_with_errors_are_failures(self):
        text = json.dumps({"jobs": [{"jobname": "sync", "error": 28, "read": {}, "write": {}}]})
        with self.assertRaisesRegex(commands.Failed, "error 28"):
            files_io.figures(text, "bind")
        with self.assertRaises(commands.Failed):
            files_io.figures("killed", "bind")

    def test_of_wrk_become_milliseconds(self):
        text = "  Latency Distribution\n     50%  {}\n     75%  9.99ms\nRequests/sec:    277.12\n"
        self.assertEqual(network.wrk_figures(text.format("812.00us")), (277.12, 0.812))
        self.assertEqual(network.wrk_figures(text.format("1.50s")), (277.12, 1500))
        with self.assertRaises(commands.Failed):
            network.wrk_figures("unable to connect")

    def test_of_iperf_become_megabits(self):
        self.assertEqual(network.iperf_figure(json.dumps(
            {"end": {"sum_received": {"bits_per_second": 2.5e9}}})), 2500)
        with self.assertRaisesRegex(commands.Failed, "refused"):
            network.iperf_figure('{"error": "connection refused"}')

    def test_of_sysbench_and_the_probe_become_numbers(self):
        self.assertEqual(cpu.events("    events per second:  1234.50\n"), 1234.5)
        self.assertEqual(inside.number("noise\n0.250\n"), 0.25)
        for broken in ("", "a word"):
            with self.assertRaises(commands.Failed):
                inside.number(broken)

    def test_of_a_look_around_become_facts(self):
        text = ("boot_id abc\nkernel 6.1\ncpu Some CPU\ncpus 2\nmemory 2048\nproc 50\nmodules 3\n"
                "interfaces lo eth0 \ndmesg 12\ndevices 9\npartitions vda vda1 \nmounts 2\n")
        same = isolation.seen(text, "abc", {"vda"})
        self.assertEqual((same["own_kernel"], same["dmesg"], same["host_devices"], same["host_paths"]),
                         (False, True, True, True))
        other = isolation.seen(text, "xyz", {"vda"})
        self.assertEqual((other["own_kernel"], other["dmesg"], other["host_devices"],
                          other["host_paths"], other["memory"]), (True, False, False, False, "2 MiB"))


def filter_of(*instructions):
    return seccomp.decode(b"".join(struct.pack("HBBI", *one) for one in instructions))


ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050001
LOAD_NUMBER, LOAD_ARCHITECTURE, LOAD_ARGUMENT = (0x20, 0, 0, 0), (0x20, 0, 0, 4), (0x20, 0, 0, 16)


class Seccomp(unittest.TestCase):
    def test_no_filter_leaves_everything(self):
        self.assertEqual(seccomp.count([], "x86_64"), 463)

    def test_a_list_of_allowed_calls_is_counted(self):
        allowed = filter_of(LOAD_NUMBER, (0x15, 2, 0, 1), (0x15, 1, 0, 60), (0x06, 0, 0, KILL),
                            (0x06, 0, 0, ALLOW))
        self.assertEqual(seccomp.count([allowed], "x86_64"), 2)

    def test_another_architecture_is_killed(self):
        guarded = filter_of(LOAD_ARCHITECTURE, (0x15, 1, 0, 0xC000003E), (0x06, 0, 0, KILL),
                            (0x06, 0, 0, ALLOW))
        self.assertEqual(seccomp.count([guarded], "x86_64"), 463)
        self.assertEqual(seccomp.count([guarded], "aarch64"), 0)

    def test_a_call_with_some_arguments_counts(self):
        some = filter_of(LOAD_NUMBER, (0x15, 0, 3, 41), LOAD_ARGUMENT, (0x15, 0, 1, 1),
                         (0x06, 0, 0, ALLOW), (0x06, 0, 0, ERRNO))
        self.assertEqual(seccomp.count([some], "x86_64"), 1)

    def test_all_filters_must_let_a_call_through(self):
        first = filter_of(LOAD_NUMBER, (0x35, 1, 0, 10), (0x06, 0, 0, ALLOW), (0x06, 0, 0, KILL))
        second = filter_of(LOAD_NUMBER, (0x35, 0, 1, 5), (0x06, 0, 0, ALLOW), (0x06, 0, 0, KILL))
        self.assertEqual(seccomp.count([first], "x86_64"), 10)
        self.assertEqual(seccomp.count([first, second], "x86_64"), 5)

    def test_arithmetic_and_memory_are_followed(self):
        masked = filter_of(LOAD_NUMBER, (0x54, 0, 0, 1), (0x02, 0, 0, 3), (0x60, 0, 0, 3),
                           (0x15, 0, 1, 0), (0x06, 0, 0, ALLOW), (0x06, 0, 0, ERRNO))
        self.assertEqual(seccomp.count([masked], "x86_64"), 232)


class Journals(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = folder.name

    def make(self, token="0a0b0c0d"):
        scratch = f"{self.base}/scratch-{token}"
        os.mkdir(scratch)
        return journal.Journal(token, scratch, f"{self.base}/journal"), scratch

    def test_of_a_run_that_lives_is_left_alone(self):
        _, scratch = self.make()
        self.assertEqual(journal.clean_dead(f"{self.base}/journal"), [])
        self.assertTrue(os.path.isdir(scratch))

    def test_of_a_run_that_was_killed_is_cleaned_up_after(self):
        entry, scratch = self.make()
        worker_process = subprocess.Popen(["sleep", "100"])
        self.addCleanup(worker_process.wait)
        entry.set_worker(worker_process.pid)
        entry.entry["owner"] = [os.getpid(), 1]  # a number that is another process's now
        entry._write()
        self.assertEqual(journal.clean_dead(f"{self.base}/journal"), ["0a0b0c0d"])
        self.assertEqual(worker_process.wait(5), -9)
        self.assertFalse(os.path.exists(scratch))
        self.assertEqual(os.listdir(f"{self.base}/journal"), [])

    def test_a_process_with_the_number_of_a_worker_is_not_ended(self):
        bystander = subprocess.Popen(["sleep", "100"])
        journal.end([bystander.pid, journal.start_time(bystander.pid) + 1], seconds=0.1)
        self.assertIsNone(bystander.poll())
        bystander.kill()
        bystander.wait()

    def test_closing_leaves_nothing(self):
        entry, _ = self.make()
        entry.close()
        self.assertEqual(os.listdir(self.base), [])

    def test_cgroups_of_the_token_alone_are_removed(self):
        for path in ("cpu/kt-0a0b0c0d/x", "cpu/kt-ffffffff/x", "memory/0a0b0c0d"):
            os.makedirs(f"{self.base}/{path}")
        self.assertEqual(leftovers.remove_cgroups("0a0b0c0d", top=self.base), [])
        left = sorted(os.path.relpath(path, self.base) for path, _, _ in os.walk(self.base))
        self.assertEqual(left, [".", "cpu", "cpu/kt-ffffffff", "cpu/kt-ffffffff/x", "memory"])


class Processes(unittest.TestCase):
    def test_of_the_new_ones_only_this_runs_own_are_ended_on_a_host_that_others_use(self):
        known = processes.table()
        own = subprocess.Popen(["sh", "-c", "sleep 100 & wait"])
        # A child of nobody here: the shell between has ended.
        stranger = int(subprocess.check_output(["sh", "-c", "setsid sleep 100 >/dev/null & echo $!"]))
        try:
            processes.kill_new(known)
            self.assertEqual(own.wait(5), -9)
            os.kill(stranger, 0)
            self.assertIsNotNone(journal.start_time(stranger))
        finally:
            os.kill(stranger, 9)


class Discovery(unittest.TestCase):
    def test_named_runtimes_are_types_shims_or_programs(self):
        self.assertEqual(discover.named("x=io.containerd.x.v2").shim, "io.containerd.x.v2")
        found = discover.named("mine=/bin/true")
        self.assertEqual((found.name, found.argv), ("mine", ["/bin/true"]))

    def test_wrong_words_are_refused_by_name(self):
        for text in ("x", "=y", "x=", "x=/nowhere/y", "x=/tmp"):
            with self.assertRaises(discover.DiscoverError, msg=text):
                discover.named(text)

    def test_modes_are_those_that_the_programs_have(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/kata-runtime", "wb") as file:
                file.write(b"\x7fELF nothing")
            self.assertEqual(kata_modes.offered(folder), ["cold"])
            with open(f"{folder}/kata-runtime", "ab") as file:
                file.write(b"enable_template")
            self.assertEqual(kata_modes.offered(folder), ["cold", "template"])
            open(f"{folder}/kata-factory", "w").close()
            self.assertEqual(kata_modes.offered(folder), ["cold", "template", "warm"])

    def test_a_mode_is_a_table_of_the_configuration(self):
        self.assertFalse(kata_modes.factory_keys("cold", "/x")["enable_template"])
        self.assertEqual(kata_modes.factory_keys("template", "/x")["vm_cache_number"], 0)
        warm = kata_modes.factory_keys("warm", "/x")
        self.assertEqual((warm["vm_cache_number"], warm["vm_cache_endpoint"]), (2, "/x/factory.sock"))

    def test_the_accelerator_is_found_wherever_it_stands(self):
        self.assertEqual(worker.accelerator_of('{"a": {"accelerator": {"kind": "tcg", "reason": '
                                               '"kvm does not run"}}}'), "tcg")
        self.assertEqual(worker.accelerator_of('{"accelerator": "kvm"}'), "kvm")
        self.assertEqual(worker.accelerator_of("no JSON"), "")


class Progress(unittest.TestCase):
    def test_tells_groups_and_the_time_left(self):
        now = iter([0, 10, 20, 30, 40, 50, 60, 70, 80])
        stream = io.StringIO()
        shown = progress.Progress([("start", 50), ("exec", 50)], 100, stream, lambda: next(now))
        shown.take({"event": "group", "group": "start", "title": "Start"})
        shown.take({"event": "step", "fraction": 0.5, "round": 1, "rounds": 3, "runtime": "runc",
                    "what": "starts"})
        shown.take({"event": "group", "group": "exec", "title": "Exec"})
        self.assertIn("Start: 0 % done", stream.getvalue())
        self.assertIn("Exec: 50 % done", stream.getvalue())

    def test_never_promises_more_time_than_the_plan_has(self):
        now = [0]
        shown = progress.Progress([("start", 1)], 100, io.StringIO(), lambda: now[0])
        self.assertEqual(shown.left(), 100)
        now[0] = 90
        shown.take({"event": "group", "group": "start", "title": "Start"})
        shown.take({"event": "step", "fraction": 0.5, "round": 1, "rounds": 3, "runtime": "runc",
                    "what": "starts"})
        self.assertLessEqual(shown.left(), 50)


class Image(unittest.TestCase):
    def test_small_files_are_the_same_each_time(self):
        found = rootfs.small_files(400)
        self.assertEqual(len(found), 400)
        self.assertEqual(found, rootfs.small_files(400))
        self.assertLessEqual(max(map(len, found.values())), 8192)

    def test_the_probe_measures(self):
        probe = rootfs.compile_probe()
        def call(*words):
            return float(subprocess.check_output([probe, *words], text=True))
        self.assertGreater(call("getpid", "0.02"), 1000)
        self.assertGreater(call("stat", "0.02", "/"), 100)
        self.assertGreater(call("fork", "0.02"), 1)
        self.assertGreater(call("copy", "0.02"), 1)
        self.assertGreater(call("status", "1", ROOT + "/bench"), 0)
        self.assertGreaterEqual(call("time", "sleep", "0.05"), 0.05)
        self.assertEqual(subprocess.check_output([probe, "hello"]), b"x")
        self.assertEqual(subprocess.run([probe, "rubbish"], stderr=subprocess.DEVNULL).returncode, 2)


class CommandLine(unittest.TestCase):
    def call(self, *words):
        return subprocess.run([sys.executable, f"{ROOT}/bench/kata-bench", *words], capture_output=True,
                              text=True)

    def test_every_command_has_help_with_examples(self):
        for words in ([], ["run"], ["report"], ["compare"], ["figures"]):
            done = self.call(*words, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertIn("examples:", done.stdout)
            self.assertIn("kata-bench ", done.stdout)

    def test_wrong_usage_ends_with_2_and_one_line(self):
        done = self.call("run", "--only", "rubbish")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn('"rubbish" is no group', done.stderr)

    def test_what_cannot_be_read_ends_with_1(self):
        done = self.call("report", "/nowhere.json")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "kata-bench: read /nowhere.json: No such file or directory\n"))

    def test_options_have_the_values_that_the_documentation_says(self):
        options = cli.parser(ROOT).parse_args(["run"])
        self.assertEqual((options.via, options.memory, options.fetch), ("oci", 256, True))

    def test_folders_that_are_relative_are_the_callers(self):
        options = cli.parser(ROOT).parse_args(["run", "--bin", "b", "--guest", "g/h"])
        self.assertEqual((options.bin, options.guest), (f"{os.getcwd()}/b", f"{os.getcwd()}/g/h"))


if __name__ == "__main__":
    unittest.main()
