# SPDX-License-Identifier: Apache-2.0
"""containerd's CRI plugin, driven by crictl as the kubelet does, with pods of the sandbox API."""

import json

from support.case import only
from support.cri_case import CriCase
from testbed.containerd import kill
from testbed.process import wait_until


@only("kata", "runc's shim has pods of a pause container alone")
class Cri(CriCase):
    sandboxer = "shim"

    def test_a_pod_from_runp_to_rmp(self):
        pod, path = self.run_pod(linux={"sysctls": {"net.ipv4.ip_local_port_range": "2000 3000",
                                                    "kernel.msgmax": "16384"}})
        status = json.loads(self.ask("inspectp", pod))
        self.assertEqual(status["status"]["state"], "SANDBOX_READY")
        address = status["status"]["network"]["ip"]
        container = self.start(pod, path, "app", ["sh", "-c", "echo ready; sleep 1000"])
        self.assertEqual(self.exec(container, "hostname"), "web-0")
        self.assertIn("nameserver 10.97.0.1", self.exec(container, "cat", "/etc/resolv.conf"))
        self.assertEqual(self.exec(container, "cat", "/etc/hostname"), "web-0")
        self.assertIn(f"{address}/24", self.exec(container, "ip", "-o", "address"))
        self.assertEqual(self.exec(container, "cat", "/proc/sys/net/ipv4/ip_local_port_range",
                                   "/proc/sys/kernel/msgmax").split(), ["2000", "3000", "16384"])
        other = self.start(pod, path, "side", ["sleep", "2000"])
        self.assertEqual(self.exec(other, "readlink", "/proc/self/ns/ipc"),
                         self.exec(container, "readlink", "/proc/self/ns/ipc"))
        self.assertIn("ready", self.ask("logs", container))
        stats = json.loads(self.ask("stats", "-o", "json"))
        self.assertEqual(len(stats["stats"]), 2)
        self.ask("stop", "-t", "0", other)
        self.ask("rm", other)
        self.assertEqual(self.pod_state(pod), "SANDBOX_READY")
        self.ask("stopp", pod)
        self.ask("stopp", pod)
        self.assertEqual(self.pod_state(pod), "SANDBOX_NOTREADY")
        self.ask("rmp", pod)
        self.assertNotIn(pod[:12], self.ask("pods"))
        self.assertEqual(self.shims(), [])

    def test_a_daemon_that_is_started_anew_finds_its_pods(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sleep", "1000"])
        self.containerd.kill()
        self.containerd.start()
        wait_until(lambda: self.crictl("pods").code == 0, 60, "CRI answers")
        self.assertEqual(self.pod_state(pod), "SANDBOX_READY")
        self.assertEqual(self.exec(container, "hostname"), "web-0")
        self.ask("rmp", "-f", pod)
        self.assertEqual(self.shims(), [])

    def test_a_pod_whose_machine_dies_is_not_ready(self):
        pod, path = self.run_pod()
        self.start(pod, path, "app", ["sleep", "1000"])
        kill(int(json.loads(self.ask("inspectp", pod))["pid"]))
        wait_until(lambda: self.pod_state(pod) == "SANDBOX_NOTREADY", 30, "the pod is not ready")
        self.ask("rmp", "-f", pod)
        self.assertEqual(self.shims(), [])

    def test_a_pod_that_cannot_start_leaves_nothing(self):
        path = self.write("pod", {
            "metadata": {"name": self.name, "namespace": "default", "uid": self.name, "attempt": 1},
            "annotations": {"io.katacontainers.config.hypervisor.default_vcpus": "many"}, "linux": {}})
        done = self.crictl("runp", "-r", "kata", path)
        self.assertNotEqual(done.code, 0)
        self.assertIn("default_vcpus", done.err)
        self.assertEqual(self.shims(), [])
