# SPDX-License-Identifier: Apache-2.0
"""The shim itself, without containerd's help: its actions, status codes, and what it refuses."""

import os
import signal
import socket
import time

from support import protobuf
from support.case import ContainerdCase, core, only
from support.shim import Shim, spec
from support.ttrpc import RpcError
from testbed.containerd import kill

CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4


class ShimCase(ContainerdCase):
    def shim(self, config=None, name=None):
        shim = Shim(self.containerd, name or self.name, config or spec(["sleep", "1000"]))
        self.addCleanup(shim.stop)
        return shim

    def started_shim(self, config=None):
        shim = self.shim(config)
        self.assert_code(shim.start(), 0)
        return shim

    def assert_status(self, code, call, *arguments, **options):
        with self.assertRaises(RpcError) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception.message


class Calls(ShimCase):
    @core
    def test_a_life_call_by_call(self):
        shim = self.started_shim()
        pid = shim.create()
        self.assertGreater(pid, 0)
        state = shim.call("State", (1, self.name))
        self.assertEqual((protobuf.first(state, 4), protobuf.first(state, 3)), (CREATED, pid))
        self.assertEqual(protobuf.text(state, 1), self.name)
        self.assertEqual(protobuf.first(shim.call("Start", (1, self.name)), 1), pid)
        self.assertEqual(protobuf.first(shim.call("State", (1, self.name)), 4), RUNNING)
        pids = [protobuf.first(protobuf.decode(item), 1)
                for item in shim.call("Pids", (1, self.name)).get(1, [])]
        self.assertTrue(pids)
        connect = shim.call("Connect", (1, self.name))
        self.assertEqual(protobuf.first(connect, 2), pid)
        with open(f"/proc/{protobuf.first(connect, 1)}/cmdline") as file:
            self.assertIn("containerd-shim", file.read())
        shim.call("Kill", (1, self.name), (3, int(signal.SIGKILL)))
        before = time.time()
        waited = shim.call("Wait", (1, self.name), timeout=10)
        self.assertEqual(protobuf.first(waited, 1), 137)
        exited = protobuf.first(protobuf.decode(protobuf.first(waited, 2)), 1)
        self.assertAlmostEqual(exited, before, delta=10)
        state = shim.call("State", (1, self.name))
        self.assertEqual((protobuf.first(state, 4), protobuf.first(state, 9)), (STOPPED, 137))
        deleted = shim.call("Delete", (1, self.name))
        self.assertEqual((protobuf.first(deleted, 1), protobuf.first(deleted, 2)), (pid, 137))
        self.assert_status("NOT_FOUND", shim.call, "State", (1, self.name))

    def test_what_does_not_exist_is_not_found(self):
        shim = self.started_shim()
        self.assert_status("NOT_FOUND", shim.call, "State", (1, self.name))
        self.assert_status("NOT_FOUND", shim.call, "Start", (1, self.name))
        shim.create()
        shim.call("Start", (1, self.name))
        for method, fields in (("State", [(2, "ghost")]), ("Start", [(2, "ghost")]),
                               ("Delete", [(2, "ghost")]), ("Wait", [(2, "ghost")]),
                               ("Kill", [(2, "ghost"), (3, 9)])):
            with self.subTest(method=method):
                self.assert_status("NOT_FOUND", shim.call, method, (1, self.name), *fields, timeout=10)

    def test_what_comes_at_the_wrong_time_is_refused(self):
        shim = self.started_shim()
        shim.create()
        if self.runtime.is_vm:  # one shim for runc's command line, too, which pauses these
            shim.call("Pause", (1, self.name), timeout=10)
            self.assertEqual(protobuf.first(shim.call("State", (1, self.name)), 4), PAUSED)
            shim.call("Resume", (1, self.name), timeout=10)
            self.assertEqual(protobuf.first(shim.call("State", (1, self.name)), 4), CREATED)
        else:
            with self.assertRaises(RpcError):
                shim.call("Pause", (1, self.name), timeout=10)
        shim.call("Start", (1, self.name))
        with self.assertRaises(RpcError) as again:
            shim.call("Start", (1, self.name), timeout=10)
        with self.assertRaises(RpcError) as deleted:
            shim.call("Delete", (1, self.name), timeout=10)
        if self.runtime.is_vm:  # runc's shim answers UNKNOWN
            self.assertEqual(again.exception.code, "FAILED_PRECONDITION")
            self.assertEqual(deleted.exception.code, "FAILED_PRECONDITION")
        self.assertEqual(protobuf.first(shim.call("State", (1, self.name)), 4), RUNNING)

    def test_a_created_container_can_be_killed_and_deleted(self):
        shim = self.started_shim()
        shim.create()
        shim.call("Kill", (1, self.name), (3, 9))
        self.assertEqual(protobuf.first(shim.call("Wait", (1, self.name), timeout=10), 1), 137)
        shim.call("Delete", (1, self.name))

    @only("kata", "runc's shim takes any unknown method for a missing service as well")
    def test_unknown_methods_and_services_are_unimplemented(self):
        shim = self.started_shim()
        self.assert_status("UNIMPLEMENTED", shim.call, "Dance", (1, self.name))
        self.assert_status("UNIMPLEMENTED", shim.client.call, "no.such.Service", "Create")

    @only("kata", "the product's own bounds")
    def test_garbage_on_the_socket_does_not_end_the_shim(self):
        shim = self.started_shim()
        shim.create()
        for data in (b"\xff" * 10, b"\x7f\xff\xff\xff\x00\x00\x00\x01\x01\x00" + b"x" * 100000,
                     b"\x00\x00\x00\x05\x00\x00\x00\x01\x01\x00\xff\xff\xff\xff\xff",
                     b"\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00", os.urandom(65536)):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(shim.address)
                try:
                    peer.sendall(data)
                except OSError:
                    pass  # the shim may close such a connection at once
        self.assertEqual(protobuf.first(shim.call("State", (1, self.name), timeout=10), 4), CREATED)


class Actions(ShimCase):
    @core
    @only("kata", "the product's own words")
    def test_version_and_info(self):
        done = self.shim().action("-v")
        self.assert_code(done, 0)
        self.assertRegex(done.out, r"(?s)containerd-shim-kata-v2.*\d+\.\d+")
        done = self.shim(name=self.name + "x").action("-info")
        self.assert_code(done, 0)
        info = protobuf.decode(done.out_bytes)
        self.assertIn("kata", protobuf.text(info, 1))
        self.assertTrue(protobuf.text(protobuf.decode(protobuf.first(info, 2, b"")), 1))

    @core
    def test_start_prints_an_address_and_nothing_else(self):
        shim = self.shim()
        done = shim.start()
        self.assert_code(done, 0)
        self.assertEqual(done.err, "")
        self.assertEqual(len(done.out.splitlines()), 1)
        self.assertIn("unix:///run/containerd/s/", done.out)

    @only("kata", "runc's shim leaves the check to containerd")
    def test_bad_ids_are_refused_by_name(self):
        for number, bad in enumerate(("../escape", "a/b", "..", "x" * 1000, "", "a b", "-rf")):
            with self.subTest(id=bad[:20]):
                shim = self.shim(name=f"{self.name}-{number}")
                shim.name = bad
                done = shim.action("start")
                self.assertNotEqual(done.code, 0, done)
                self.assertRegex(done.err + done.out, r"(?i)\bid\b")
                self.assertLess(done.seconds, 10)
                shim.name = "gone"
        self.assert_clean()

    def test_delete_without_a_shim_answers_and_cleans_up(self):
        shim = self.started_shim()
        shim.create()
        shim.call("Start", (1, self.name))
        os.kill(shim.pid(), signal.SIGKILL)
        shim.client.close()
        shim.client = None
        done = shim.action("-bundle", shim.bundle, "delete")
        self.assert_code(done, 0)
        reply = protobuf.decode(done.out_bytes)
        self.assertEqual(protobuf.first(reply, 2), 137)
        self.assertTrue(protobuf.first(reply, 3, b""))
        self.assert_clean()


class BadBundles(ShimCase):
    """Create answers within ten seconds, with a message that names the cause."""

    def refused(self, config, pattern, **options):
        shim = self.shim(config)
        begin = time.monotonic()
        started = shim.start()
        if started.code != 0:  # a shim may look into the bundle this early
            self.assertRegex(started.err, pattern)
            return
        with self.assertRaises(RpcError) as caught:
            shim.create(**options)
            shim.call("Start", (1, self.name))
        self.assertLess(time.monotonic() - begin, 10)
        self.assertRegex(caught.exception.message, pattern)
        shim.stop()
        self.assert_clean()

    def test_a_config_that_is_no_json(self):
        self.refused(b'{"ociVersion": "1.0.2", "process": {', r"config\.json" if self.runtime.is_vm
                     else r"unexpected E")

    @only("kata", "the product's own words")
    def test_a_value_of_the_wrong_type_names_its_place(self):
        config = spec(["true"])
        config["process"]["args"] = "true"
        self.refused(config, r"config\.json.*process\.args|config\.json.*/process/args")

    def test_a_config_without_a_process(self):
        config = spec(["true"])
        del config["process"]["args"]
        self.refused(config, r"args")

    def test_a_missing_root_file_system(self):
        self.refused(spec(["true"]), r"(?s)no such file|No such file|not exist", rootfs=[
            protobuf.encode((1, "bind"), (2, "/no/such/tree"), (4, ["rbind", "rw"]))])

    def test_a_missing_executable(self):
        self.refused(spec(["no-such-program"]),
                     r'exec: \\?"no-such-program\\?": executable file not found in \$PATH')

    def test_a_missing_executable_by_path(self):
        self.refused(spec(["/no/such/program"]), r"/no/such/program.*[Nn]o such file or directory")

    def test_a_program_that_may_not_be_executed(self):
        self.refused(spec(["/etc/passwd"]), r"/etc/passwd.*[Pp]ermission denied")

    def test_a_working_directory_that_is_a_file(self):
        self.refused(spec(["true"], cwd="/etc/passwd"), r"/etc/passwd.*(not a directory|Not a directory)|"
                     r"cwd|chdir")

    @only("kata", "runc leaves its first process behind")
    def test_stdio_paths_that_do_not_exist(self):
        self.refused(spec(["true"]), r"(?i)no such file|not exist",
                     stdout="/no/such/folder/fifo")
