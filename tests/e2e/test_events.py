# SPDX-License-Identifier: Apache-2.0
"""The events that containerd passes on: which, in what order, with which fields."""

from support import grpc
from support.case import ContainerdCase, core


class TaskEvents(ContainerdCase):
    def topics(self, events):
        return [topic.removeprefix("/tasks/") for topic, _ in events.of(self.name)]

    @core
    def test_a_life_with_an_exec_and_a_pause_tells_everything_in_order(self):
        with self.containerd.events() as events:
            self.containerd.run_detached(self.name, ["sleep", "1000"])
            pid = self.containerd.tasks()[self.name][0]
            self.assert_code(self.containerd.exec(self.name, self.shell("exit 3"), exec_id="ex"), 3)
            self.containerd.ctr("task", "pause", self.name, check=True)
            self.containerd.ctr("task", "resume", self.name, check=True)
            self.containerd.ctr("task", "kill", "-s", "KILL", self.name, check=True)
            events.wait_for(self.name, "/tasks/exit", id=self.name)
            self.wait_status(self.name, "STOPPED")
            self.containerd.ctr("task", "delete", self.name, check=True)
            # That of the exec has come before.
            events.wait_for(self.name, "/tasks/delete", exit_status=137)
            topics, fields = self.topics(events), dict()
            for topic, values in events.of(self.name):
                fields.setdefault((topic.removeprefix("/tasks/"), values.get("id", "")), values)
        order = [topic for topic in topics if topic != "delete"]
        self.assertEqual(order, ["create", "start", "exec-added", "exec-started", "exit", "paused",
                                 "resumed", "exit"])
        self.assertEqual(topics[-1], "delete")
        create = fields[("create", "")]
        self.assertEqual(create["pid"], pid)
        self.assertEqual(create["bundle"], self.containerd.bundle(self.name))
        self.assertTrue(create["rootfs"][0]["type"])
        self.assertTrue(create["io"]["stdout"])
        self.assertEqual(fields[("start", "")]["pid"], pid)
        self.assertEqual(fields[("exec-added", "")]["exec_id"], "ex")
        started = fields[("exec-started", "")]
        self.assertEqual(started["exec_id"], "ex")
        self.assertGreater(started["pid"], 0)
        exec_exit = fields[("exit", "ex")]
        self.assertEqual((exec_exit["exit_status"], exec_exit["pid"]), (3, started["pid"]))
        init_exit = fields[("exit", self.name)]
        self.assertEqual((init_exit["exit_status"], init_exit["pid"]), (137, pid))
        for event in (exec_exit, init_exit):
            self.assertTrue(event["exited_at"])
        # The first process's event may carry its container's id, or none; an exec's carries its own.
        deleted = fields.get(("delete", "")) or fields[("delete", self.name)]
        self.assertEqual(deleted["pid"], pid)
        self.assertEqual(deleted["exit_status"], 137)
        self.assertTrue(deleted["exited_at"])

    @core
    def test_a_task_that_was_never_started_is_created_and_deleted(self):
        self.containerd.ctr("container", "create", "--runtime", self.runtime.type, self.image,
                            self.name, "sleep", "1000", check=True)
        with self.containerd.events() as events:
            pid = grpc.create_task(self.containerd, self.name)
            self.assertEqual(grpc.task_status(self.containerd, self.name), "CREATED")
            grpc.delete_task(self.containerd, self.name)
            created = events.wait_for(self.name, "/tasks/create")
            self.assertEqual(created["pid"], pid)
            if self.runtime.is_vm:  # runc's shim ends at times before this event is out
                events.wait_for(self.name, "/tasks/delete")
            self.assertNotIn("start", self.topics(events))
        self.assert_clean()
