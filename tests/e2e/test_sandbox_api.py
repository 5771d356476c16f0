# SPDX-License-Identifier: Apache-2.0
"""Pods of containerd's sandbox API, call by call: no container of their own, members by the Task API."""

import json
import os
import signal
import threading

from support import protobuf
from support.case import core, only
from support.network_case import NetworkCase
from support.shim import Shim, spec
from support.ttrpc import ConnectionClosed, RpcError
from testbed import image
from testbed.containerd import kill
from testbed.process import wait_until

SERVICE = "containerd.runtime.sandbox.v1.Sandbox"


class Pod(Shim):
    """A shim with a pod; members are its containers, whose output goes to files."""

    def __init__(self, containerd, name, annotations=None):
        super().__init__(containerd, name, {"ociVersion": "1.0.2", "annotations": annotations or {}})

    def ask(self, method, *fields, timeout=90):
        return protobuf.decode(self.client.call(SERVICE, method,
                                                protobuf.encode((1, self.name), *fields), timeout))

    def create_pod(self, netns="", **annotations):
        entries = [protobuf.encode((1, key), (2, value)) for key, value in annotations.items()]
        self.ask("CreateSandbox", (2, self.bundle), (5, netns), (6, entries))

    def start_pod(self, netns=""):
        self.create_pod(netns)
        return protobuf.first(self.ask("StartSandbox"), 1)

    def status(self):
        reply = self.ask("SandboxStatus", (2, 1))
        info = dict((protobuf.text(entry, 1), protobuf.text(entry, 2))
                    for entry in map(protobuf.decode, reply.get(4, [])))
        return protobuf.text(reply, 3), protobuf.first(reply, 2), info

    def member(self, word, args, join=(), mounts=(), **process):
        """Creates and starts a container; its id. `join`: namespaces that it shares with others."""
        name = f"{self.name}-{word}"
        bundle = f"{self.containerd.base}/bundles/{name}"
        os.makedirs(f"{bundle}/rootfs")
        config = spec(args, **process)
        config["linux"]["cgroupsPath"] = f"/{self.namespace}/{name}"
        config["mounts"] += mounts
        # As CRI names them: by the pod's pid, which says nothing in a guest.
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] in join:
                namespace["path"] = f"/proc/1/ns/{namespace['type']}"
        tree = f"{bundle}/tree"
        image.write_tree(tree)
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(config, file)
        root = protobuf.encode((1, "bind"), (2, tree), (4, ["rbind", "rw"]))
        self.call("Create", (1, name), (2, bundle), (3, [root]), (6, f"file://{bundle}/out"))
        self.call("Start", (1, name))
        return name

    def output(self, name):
        with open(f"{self.containerd.base}/bundles/{name}/out") as file:
            return file.read()

    def wait(self, name):
        return protobuf.first(self.call("Wait", (1, name)), 1)

    def run_member(self, word, args, **options):
        """A member that ends by itself, and is removed; what it has written."""
        name = self.member(word, args, **options)
        self.wait(name)
        self.call("Delete", (1, name))
        return self.output(name)

    def remove(self, name):
        self.call("Kill", (1, name), (3, int(signal.SIGKILL)), (4, 1))
        self.wait(name)
        self.call("Delete", (1, name))

    def stop(self):
        if self.client:
            try:
                self.ask("ShutdownSandbox")
            except (RpcError, ConnectionClosed, TimeoutError, OSError):
                pass
            self.client.close()
            self.client = None
        super().stop()


@only("kata", "runc's shim has pods of a pause container alone")
class SandboxApi(NetworkCase):
    def pod(self, **options):
        pod = Pod(self.containerd, self.name, **options)
        self.addCleanup(pod.stop)
        self.assert_code(pod.start(), 0)
        return pod

    def started(self, netns=""):
        pod = self.pod()
        pod.start_pod(netns or self.net.path(self.new_namespace()))
        return pod

    def assert_refused(self, code, call, *arguments):
        with self.assertRaises(RpcError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.code, code, caught.exception.message)

    @core
    def test_a_pod_has_its_machine_without_a_container(self):
        pod = self.pod()
        self.assert_refused("FAILED_PRECONDITION", pod.ask, "StartSandbox")
        pid = pod.start_pod(self.net.path(self.new_namespace()))
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        state, seen, info = pod.status()
        self.assertEqual((state, seen, info["pid"]), ("SANDBOX_READY", pid, str(pid)))
        self.assertTrue(info["networkSandboxPath"].startswith("/run/netns/"))
        pod.ask("PingSandbox")
        self.assert_refused("ALREADY_EXISTS", pod.create_pod)
        first = pod.member("a", ["sleep", "1000"])
        self.assertEqual(pod.run_member("b", ["echo", "hello"]), "hello\n")
        pod.remove(first)
        pod.call("Shutdown", (1, first))
        self.assertEqual(pod.status()[0], "SANDBOX_READY")
        self.assertEqual(pod.run_member("c", ["echo", "again"]), "again\n")
        exits = []
        def wait():
            exits.append(protobuf.first(pod.ask("WaitSandbox"), 1))
        waiting = [threading.Thread(target=wait) for _ in range(3)]
        for thread in waiting:
            thread.start()
        pod.ask("StopSandbox")
        pod.ask("StopSandbox")
        for thread in waiting:
            thread.join(15)
        self.assertEqual(exits, [0, 0, 0])
        self.assertEqual(pod.status()[0], "SANDBOX_NOTREADY")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assert_refused("FAILED_PRECONDITION", pod.member, "d", ["true"])
        pod.ask("ShutdownSandbox")
        self.assert_clean()

    def test_members_share_what_they_ask_for_and_nothing_else(self):
        pod = self.started()
        shm = {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}
        pod.member("p1", ["sleep", "4321"], join=["pid"])
        seen = pod.run_member("p2", ["ps", "-o", "args"], join=["pid"])
        self.assertIn("sleep 4321", seen)
        self.assertNotIn("sleep 4321", pod.run_member("p3", ["ps", "-o", "args"]))
        pod.run_member("s1", self.shell("echo mine >/dev/shm/x"), join=["ipc"], mounts=[shm])
        look = self.shell("cat /dev/shm/x || echo none")
        self.assertEqual(pod.run_member("s2", look, join=["ipc"], mounts=[shm]), "mine\n")
        self.assertEqual(pod.run_member("s3", look, mounts=[shm]), "none\n")
        link = self.shell("for n in uts ipc net; do readlink /proc/self/ns/$n; done")
        ours, others = (pod.run_member(word, link, join=["uts", "ipc"]).split()
                        for word in ("n1", "n2"))
        alone = pod.run_member("n3", link).split()
        self.assertEqual(ours, others)
        self.assertNotIn(alone[0], ours)
        self.assertNotIn(alone[1], ours)
        self.assertEqual(alone[2], ours[2], "there is one network")

    def test_orphans_of_a_shared_pid_namespace_are_waited_for(self):
        pod = self.started()
        pod.run_member("o1", self.shell("(sleep 0.2 &) ; sleep 1"), join=["pid"])
        seen = pod.run_member("o2", ["ps", "-o", "stat,args"], join=["pid"])
        self.assertNotIn("sleep", seen)
        self.assertNotIn("Z", seen)

    def test_members_have_the_network_of_the_pod(self):
        namespace = self.new_namespace()
        self.net.add_veth(namespace, 77)
        pod = self.started(self.net.path(namespace))
        self.assertIn("10.88.0.77/16", pod.run_member("a", ["ip", "-o", "address"]))
        self.assertIn("1 packets received", pod.run_member(
            "b", ["ping", "-c", "1", "-W", "20", self.net.GATEWAY],
            capabilities={kind: ["CAP_NET_RAW"] for kind in ("bounding", "effective", "permitted")}))

    def test_a_machine_that_is_killed_ends_the_pod(self):
        pod = self.started()
        member = pod.member("a", ["sleep", "1000"])
        kill(pod.status()[1])
        self.assertEqual(protobuf.first(pod.ask("WaitSandbox", timeout=15), 1), 137)
        self.assertEqual(pod.wait(member), 137)
        self.assertEqual(pod.status()[0], "SANDBOX_NOTREADY")
        self.assert_refused("FAILED_PRECONDITION", pod.ask, "PingSandbox")
        pod.call("Delete", (1, member))
        pod.ask("StopSandbox")
        pod.ask("ShutdownSandbox")
        self.assert_clean()

    def test_a_shim_that_is_killed_leaves_nothing_that_delete_does_not_take(self):
        pod = self.started()
        pod.member("a", ["sleep", "1000"])
        pid = protobuf.first(pod.call("Connect", (1, self.name)), 1)
        kill(pid)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the shim ends")
        pod.client.close()
        pod.client = None
        self.assert_code(pod.action("-bundle", pod.bundle, "delete"), 0)
        self.assert_clean()

    def test_a_creation_that_fails_leaves_nothing(self):
        pod = self.pod()
        self.assert_refused("NOT_FOUND", pod.create_pod, "/run/netns/nobody")
        pod.ask("ShutdownSandbox")
        self.assert_clean()
