# SPDX-License-Identifier: Apache-2.0
"""containerd's CRI plugin, driven by crictl as the kubelet does, with pods of the sandbox API."""

import glob
import json
import os
import unittest

from support.case import ContainerdCase, Settings, only
from testbed import debs, image, isolation
from testbed.containerd import kill
from testbed.network import fetch_plugins
from testbed.process import run, wait_until

NETWORK = {"cniVersion": "0.4.0", "name": "kt", "plugins": [
    {"type": "bridge", "bridge": "ktcri0", "isGateway": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.97.0.0/24"}]],
              "routes": [{"dst": "0.0.0.0/0"}]}}]}


def fetch_crictl():
    """Path of the program, built on first use."""
    return debs.script("fetch-crictl").split(maxsplit=1)[1]


@only("kata", "runc's shim has pods of a pause container alone")
class Cri(ContainerdCase):
    @classmethod
    def setUpClass(cls):
        if not Settings.series.startswith("2"):
            raise unittest.SkipTest("sandboxes of shims are switched on in containerd 2")
        cls.program, plugins = fetch_crictl(), fetch_plugins()
        cls.cri = {"sandboxer": "shim", "plugins": plugins}
        cls.enterClassContext(isolation.own_namespaces(Settings.runtime.files(), ["/var/lib"]))
        os.makedirs("/run/netns")
        super().setUpClass()

    @classmethod
    def set_up_bed(cls):
        os.makedirs(f"{cls.containerd.base}/cni", exist_ok=True)
        with open(f"{cls.containerd.base}/cni/10-kt.conflist", "w") as file:
            json.dump(NETWORK, file)
        cls.addClassCleanup(run, ["ip", "link", "delete", NETWORK["plugins"][0]["bridge"]], 30)
        cls.addClassCleanup(cls.crictl, "rmp", "-a", "-f")
        path = image.write_tar(f"{cls.containerd.base}/image.tar", image.NAME)
        cls.containerd.ctr("-n", "k8s.io", "image", "import", path, check=True)
        wait_until(lambda: image.NAME.rsplit(":", 1)[0] in cls.crictl("images").out, 30,
                   lambda: f"CRI knows the image: {cls.crictl('images')}")

    @classmethod
    def crictl(cls, *arguments, timeout=120):
        endpoint = f"unix://{cls.containerd.address}"
        return run([cls.program, "--timeout", f"{timeout}s", "--runtime-endpoint", endpoint,
                    "--image-endpoint", endpoint, *map(str, arguments)], timeout + 10,
                   env=cls.containerd.env)

    def ask(self, *arguments, **options):
        done = self.crictl(*arguments, **options)
        self.assert_code(done, 0)
        return done.out

    def write(self, name, config):
        path = f"{self.containerd.base}/{self.name}-{name}.json"
        with open(path, "w") as file:
            json.dump(config, file)
        return path

    def run_pod(self, **more):
        """The pod's id, and the file that says what it is."""
        path = self.write("pod", {
            "metadata": {"name": self.name, "namespace": "default", "uid": self.name, "attempt": 1},
            "hostname": "web-0", "log_directory": f"{self.containerd.base}/logs-{self.name}",
            "dns_config": {"servers": ["10.97.0.1"], "searches": ["kt.local"]}, "linux": {}, **more})
        pod = self.ask("runp", "-r", "kata", path).strip()
        self.addCleanup(self.crictl, "rmp", "-f", pod)
        return pod, path

    def start(self, pod, path, word, command, **more):
        config = self.write(word, {"metadata": {"name": word}, "image": {"image": image.NAME},
                                   "command": command, "log_path": f"{word}.log", "linux": {}, **more})
        container = self.ask("create", "--no-pull", pod, config, path).strip()
        self.ask("start", container)
        return container

    def exec(self, container, *command):
        # crictl adds empty lines of its own.
        return self.ask("exec", "-s", container, *command).rstrip("\n")

    def pod_state(self, pod):
        return json.loads(self.ask("inspectp", pod))["status"]["state"]

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

    def test_processes_are_shared_where_the_pod_says_so(self):
        options = {"security_context": {"namespace_options": {"pid": 0}}}
        pod, path = self.run_pod(linux=options)
        one, two = (self.start(pod, path, word, ["sleep", number], linux=options)
                    for word, number in (("a", "1111"), ("b", "2222")))
        self.assertIn("sleep 2222", self.exec(one, "ps", "-o", "args"))
        self.assertIn("sleep 1111", self.exec(two, "ps", "-o", "args"))

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

    def shims(self):
        """Pids of shims that live on a moment later."""
        def alive():
            return [path for path in glob.glob("/proc/[0-9]*/cmdline") if self.is_shim(path)]
        try:
            wait_until(lambda: not alive(), 15, "shims end")
        except AssertionError:
            pass
        return alive()

    def is_shim(self, path):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return False
        return b"containerd-shim-kata-v2" in words[0] and \
            self.containerd.address.encode() in words
