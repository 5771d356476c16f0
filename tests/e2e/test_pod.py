# SPDX-License-Identifier: Apache-2.0
"""Several containers in one sandbox, told by the annotations of containerd's CRI plugin and CRI-O."""

from support.case import ContainerdCase, core, only
from testbed.process import wait_until

CRI = ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id")
CRIO = ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID")


@only("kata", "runc's shim groups by another label")
class Pod(ContainerdCase):
    def start(self, kind, name, pod, command, *flags, words=CRI):
        self.containerd.run_detached(name, command, "--annotation", f"{words[0]}={kind}",
                                     "--annotation", f"{words[1]}={pod}", *flags, timeout=90)

    def start_pod(self, words=CRI):
        """A sandbox and one member; their names."""
        pod, member = self.name, f"{self.name}-m"
        self.start("sandbox", pod, pod, ["sleep", "1000"], words=words)
        self.start("container", member, pod, ["sleep", "2000"], words=words)
        return pod, member

    def assert_runs(self, name, text):
        self.assert_output(self.containerd.exec(name, ["echo", text]), f"{text}\n")

    @core
    def test_members_share_one_machine_and_one_shim(self):
        pod, member = self.start_pod()
        tasks = self.containerd.tasks()
        self.assertEqual({tasks[pod][1], tasks[member][1]}, {"RUNNING"})
        self.assertEqual(tasks[pod][0], tasks[member][0], "both show the pid of one VMM")
        self.assertIsNotNone(self.runtime.shim_pid(self.containerd, pod))
        self.assertIsNone(self.runtime.shim_pid(self.containerd, member))
        boots = [self.containerd.exec(name, ["cat", "/proc/sys/kernel/random/boot_id"]).out
                 for name in (pod, member)]
        self.assertEqual(boots[0], boots[1])
        # Each has its own root file system and processes, both have one network.
        self.assert_code(self.containerd.exec(pod, ["touch", "/mine"]), 0)
        self.assertNotEqual(self.containerd.exec(member, ["ls", "/mine"]).code, 0)
        networks = [self.containerd.exec(name, ["readlink", "/proc/self/ns/net"]).out
                    for name in (pod, member)]
        self.assertEqual(networks[0], networks[1])
        self.assertEqual(self.containerd.exec(member, ["cat", "/proc/1/cmdline"]).out,
                         "sleep\0002000\0")

    @core
    def test_a_member_ends_alone_and_the_sandbox_last(self):
        pod, member = self.start_pod()
        log = f"{self.containerd.base}/log-{self.name}"
        third = f"{self.name}-t"
        self.start("container", third, pod, self.shell("echo from third; sleep 1000"),
                   "--log-uri", f"file://{log}")
        def logged():
            with open(log) as file:
                return file.read() == "from third\n"
        wait_until(logged, 20, "the third container's output is in its log")
        with self.containerd.events() as events:
            self.containerd.ctr("task", "kill", "-s", "KILL", member, check=True)
            self.assertEqual(events.wait_for(member, "/tasks/exit")["exit_status"], 137)
        self.wait_status(member, "STOPPED")
        self.assert_runs(third, "third lives")
        self.assertTrue(self.containerd.remove(member))
        self.assert_runs(pod, "pod lives")
        self.assert_runs(third, "third lives on")
        self.assertTrue(self.containerd.remove(third))
        self.assert_runs(pod, "pod lives on")
        self.start("container", member, pod, ["sleep", "3000"])
        self.assert_runs(member, "again")
        self.assertTrue(self.containerd.remove(member))
        self.assertTrue(self.containerd.remove(pod))
        self.assert_clean()

    @core
    def test_members_can_share_the_sandboxs_pid_namespace(self):
        pod, member = self.name, f"{self.name}-m"
        self.start("sandbox", pod, pod, ["sleep", "1000"])
        vmm = self.containerd.tasks()[pod][0]
        self.start("container", member, pod, ["sleep", "2000"],
                   "--with-ns", f"pid:/proc/{vmm}/ns/pid")
        self.assertEqual(self.containerd.exec(member, ["cat", "/proc/1/cmdline"]).out,
                         "sleep\0001000\0")
        seen = self.containerd.exec(pod, ["ps", "-o", "args"]).out
        self.assertIn("sleep 2000", seen)
        self.assertTrue(self.containerd.remove(member))
        self.assert_runs(pod, "pod lives")

    def test_the_annotations_of_crio_group_too(self):
        pod, member = self.start_pod(CRIO)
        tasks = self.containerd.tasks()
        self.assertEqual(tasks[pod][0], tasks[member][0])

    def test_a_sandbox_that_goes_first_leaves_its_members_running(self):
        pod, member = self.start_pod()
        self.assertTrue(self.containerd.remove(pod))
        self.assert_runs(member, "alone")
        self.assertTrue(self.containerd.remove(member))
        self.assert_clean()

    def test_a_member_without_its_sandbox_is_refused(self):
        done = self.containerd.run(self.name, ["true"], "--annotation", f"{CRI[0]}=container",
                                   "--annotation", f"{CRI[1]}=nobody")
        self.assertNotEqual(done.code, 0)
        self.assertIn('sandbox "nobody"', done.err)
