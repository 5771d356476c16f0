# SPDX-License-Identifier: Apache-2.0
"""Sudden deaths: shim, VMM, virtiofsd, guest, in every phase of a container's life.

containerd must learn of the end within 10 s, delete must clean up, and nothing may be left.
"""

import contextlib
import glob
import os
import signal
import threading

from support import grpc
from support.case import ContainerdCase, core, only, snapshot
from support.ttrpc import RpcError
from testbed.containerd import kill
from testbed.process import wait_until

LEARN_SECONDS = 10


class SuddenDeath(ContainerdCase):
    def roles(self):
        return ("shim", "vmm", "virtiofsd") if self.runtime.is_vm else ("shim", "init")

    def setUp(self):
        super().setUp()
        self.events = self.enterContext(self.containerd.events())
        self.before = snapshot()

    def make(self, name):
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image, name,
                            "sleep", "100000", check=True)

    def victim(self, name, role, seconds=20):
        return wait_until(lambda: self.runtime.victims(self.containerd, name).get(role), seconds,
                          lambda: f"process {role}: {self.runtime.victims(self.containerd, name)}")

    def start(self, name):
        self.make(name)
        grpc.create_task(self.containerd, name)
        grpc.start_task(self.containerd, name)

    def expect_end(self, name, event=True):
        """containerd learns of it, forgets the container on request, and nothing is left."""
        wait_until(lambda: self.containerd.status(name) in ("STOPPED", "UNKNOWN", None),
                   LEARN_SECONDS, lambda: f"containerd learns of the end; {self.containerd.tasks()}")
        if event:
            status = self.events.wait_for(name, "/tasks/exit", LEARN_SECONDS)["exit_status"]
            self.assertNotEqual(status, 0, "a violent end is no success")
        if self.containerd.status(name):
            self.containerd.ctr("task", "delete", "--force", name, timeout=20)
        self.assertIsNone(self.containerd.status(name))
        self.containerd.ctr("container", "rm", name, check=True)
        self.assert_clean()

    def in_each_role(self, strike):
        for role in self.roles():
            with self.subTest(victim=role):
                self.before = snapshot()
                strike(f"{self.name}-{role}", role)

    @core
    def test_while_it_is_created(self):
        def strike(name, role):
            sockets = set(glob.glob("/run/containerd/s/*"))
            self.make(name)
            outcome = []
            def create():
                try:
                    grpc.create_task(self.containerd, name, timeout=60)
                    outcome.append("created")
                except RpcError as error:
                    outcome.append(error)
            thread = threading.Thread(target=create)
            thread.start()
            pid = self.victim(name, role)
            kill(pid)
            thread.join(LEARN_SECONDS + 5)
            self.assertTrue(outcome, "Create has answered")
            created = outcome[0] == "created"
            if created and self.runtime.victims(self.containerd, name).get(role, pid) != pid:
                # A copy of the template that dies as it starts is followed by a boot.
                grpc.start_task(self.containerd, name)
                self.assertEqual(self.containerd.status(name), "RUNNING")
                kill(self.victim(name, role))
            if role == "shim" and not created:
                # A containerd that never reached the shim does not ask for a delete either.
                for path in set(glob.glob("/run/containerd/s/*")) - sockets:
                    os.unlink(path)
            self.expect_end(name, event=created)
        self.in_each_role(strike)

    def test_after_it_was_created(self):
        def strike(name, role):
            self.make(name)
            grpc.create_task(self.containerd, name)
            kill(self.victim(name, role))
            self.expect_end(name)
        self.in_each_role(strike)

    @core
    def test_while_it_runs(self):
        def strike(name, role):
            self.start(name)
            kill(self.victim(name, role))
            self.expect_end(name)
        self.in_each_role(strike)

    def test_while_an_exec_runs(self):
        def strike(name, role):
            self.start(name)
            with self.background(self.containerd.popen(*self.containerd.exec_arguments(
                    name, ["sleep", "5000"], exec_id="ex"))) as child:
                self.events.wait_for(name, "/tasks/exec-started", exec_id="ex")
                kill(self.victim(name, role))
                self.assertNotEqual(child.wait(LEARN_SECONDS), 0)
            self.expect_end(name)
        self.in_each_role(strike)

    def test_while_it_is_deleted(self):
        def strike(name, role):
            self.start(name)
            victim = self.victim(name, role)
            grpc.kill_task(self.containerd, name, signal.SIGKILL)
            self.wait_status(name, "STOPPED")
            def delete():
                try:
                    grpc.delete_task(self.containerd, name)
                except RpcError:
                    pass
            thread = threading.Thread(target=delete)
            thread.start()
            kill(victim)
            thread.join(LEARN_SECONDS + 5)
            self.assertFalse(thread.is_alive(), "Delete has answered")
            self.expect_end(name, event=False)
        self.in_each_role(strike)

    @only("kata", "it takes a guest kernel to panic")
    def test_a_guest_that_panics(self):
        for phase in ("running", "exec"):
            with self.subTest(phase=phase):
                self.before = snapshot()
                name = f"{self.name}-{phase}"
                self.containerd.run_detached(name, ["sleep", "100000"], "--privileged")
                with contextlib.ExitStack() as stack:
                    children = []
                    if phase == "exec":
                        children.append(stack.enter_context(self.background(self.containerd.popen(
                            *self.containerd.exec_arguments(name, ["sleep", "5000"],
                                                            exec_id="ex")))))
                        self.events.wait_for(name, "/tasks/exec-started", exec_id="ex")
                    children.append(stack.enter_context(self.background(self.containerd.popen(
                        *self.containerd.exec_arguments(
                            name, self.shell("echo c > /proc/sysrq-trigger"))))))
                    for child in children:
                        self.assertNotEqual(child.wait(LEARN_SECONDS), 0)
                self.expect_end(name)

    @only("kata", "a stopped process of runc's is only a stopped process")
    def test_a_guest_that_falls_silent_can_be_killed_and_deleted(self):
        self.start(self.name)
        os.kill(self.victim(self.name, "vmm"), signal.SIGSTOP)
        done = self.containerd.ctr("task", "kill", "-s", "KILL", self.name, timeout=30)
        self.containerd.ctr("task", "delete", "--force", self.name, timeout=30)
        self.containerd.ctr("container", "rm", self.name, check=True)
        self.assertIsNone(self.containerd.status(self.name), done)
        self.assert_clean(seconds=15)

    def test_all_processes_at_once(self):
        self.start(self.name)
        pids = [self.victim(self.name, role) for role in self.roles()]
        for pid in pids:
            kill(pid)
        self.expect_end(self.name)
