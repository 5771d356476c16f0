# SPDX-License-Identifier: Apache-2.0
"""containerd is killed and started again under running containers."""

from support.case import ContainerdCase, core
from testbed.process import wait_until


class Restart(ContainerdCase):
    @core
    def test_a_running_container_goes_on_is_found_again_and_keeps_its_exit_code(self):
        log = f"{self.containerd.base}/counted"
        self.containerd.run_detached(self.name, self.shell(
            "trap 'exit 44' TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"),
            "--log-uri", f"file://{log}")
        def count():
            with open(log) as file:
                return len(file.read().split())
        wait_until(lambda: count() > 3, 20, "output begins")
        pid = self.containerd.tasks()[self.name][0]
        self.containerd.kill()
        at_crash = count()
        wait_until(lambda: count() > at_crash + 5, 10, "output goes on without containerd")
        self.containerd.start()
        self.assertEqual(self.containerd.tasks()[self.name], (pid, "RUNNING"))
        at_restart = count()
        wait_until(lambda: count() > at_restart + 5, 10, "output goes on after the restart")
        self.assert_output(self.containerd.exec(self.name, ["echo", "hello"]), "hello\n")
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", self.name, check=True)
            self.assertEqual(events.wait_for(self.name, "/tasks/exit")["exit_status"], 44)
        with open(log) as file:
            numbers = [int(word) for word in file.read().split()]
        self.assertEqual(numbers, list(range(len(numbers))), "no line lost or doubled")
        self.assertTrue(self.containerd.remove(self.name))
        self.assert_clean(self.before)

    @core
    def test_a_container_that_ended_meanwhile_is_not_seen_as_running(self):
        go = f"{self.containerd.base}/go"
        self.containerd.run_detached(self.name, self.shell(
            "until test -e /bed/go; do sleep 0.05; done; echo done > /bed/done; exit 17"),
            "--mount", f"type=bind,src={self.containerd.base},dst=/bed,options=rbind:rw")
        self.containerd.kill()
        with open(go, "w"):
            pass
        wait_until(lambda: self.exists(f"{self.containerd.base}/done"), 10, "the program ends")
        self.containerd.start()
        # containerd asks each shim it finds for its processes, and deletes a task that has none.
        wait_until(lambda: self.containerd.status(self.name) in ("STOPPED", None), 15, "the end is seen")
        if self.containerd.status(self.name):
            deleted = self.containerd.ctr("task", "delete", self.name, check=True)
            self.assertIn("17", deleted.err)
        self.containerd.ctr("container", "rm", self.name, check=True)
        self.assert_clean(self.before)

    def exists(self, path):
        try:
            with open(path):
                return True
        except FileNotFoundError:
            return False
