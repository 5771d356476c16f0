# SPDX-License-Identifier: Apache-2.0
"""Pods as the kubelet makes them: namespaces, volumes, containers that follow others."""

import os
import socket
import subprocess
import threading

from support.case import Settings
from support.cri_case import CriCase
from testbed.process import run, wait_until


class Pods:
    def folder(self, name):
        path = f"{self.containerd.base}/{self.name}-{name}"
        os.makedirs(path)
        return path

    @staticmethod
    def mount(host, container, **more):
        return {"host_path": host, "container_path": container, **more}

    def test_a_container_follows_those_that_prepare_for_it(self):
        pod, path = self.run_pod()
        shared = [self.mount(self.folder("shared"), "/work")]
        first = self.start(pod, path, "init", ["sh", "-c", "echo made >/work/file"], mounts=shared)
        self.assertEqual(self.wait_end(first)["exitCode"], 0)
        container = self.start(pod, path, "app", ["sleep", "1000"], mounts=shared)
        self.assertEqual(self.exec(container, "cat", "/work/file"), "made")
        self.assertEqual(self.status(first)["reason"], "Completed")

    def test_a_container_that_has_ended_is_started_anew(self):
        pod, path = self.run_pod()
        for attempt in range(3):
            container = self.start(pod, path, "app", ["sh", "-c", "exit 4"],
                                   metadata={"name": "app", "attempt": attempt})
            status = self.wait_end(container)
            self.assertEqual((status["exitCode"], status["metadata"]["attempt"]), (4, attempt))
            if attempt:
                self.ask("rm", before)
            before = container
        self.assertEqual(self.pod_state(pod), "SANDBOX_READY")

    def test_processes_are_shared_where_the_pod_says_so(self):
        options = {"security_context": {"namespace_options": {"pid": 0}}}
        pod, path = self.run_pod(linux=options)
        one, two = (self.start(pod, path, word, ["sleep", number], linux=options)
                    for word, number in (("a", "1111"), ("b", "2222")))
        self.assertIn("sleep 2222", self.exec(one, "ps", "-o", "args"))
        self.assertIn("sleep 1111", self.exec(two, "ps", "-o", "args"))
        self.exec(two, "sh", "-c", "kill -9 $(pidof -s sleep) || true")
        alone = {"security_context": {"namespace_options": {"pid": 1}}}
        pod, path = self.run_pod(linux=alone, metadata={"name": f"{self.name}-2", "namespace": "default",
                                                        "uid": f"{self.name}-2", "attempt": 1})
        one, two = (self.start(pod, path, word, ["sleep", number], linux=alone)
                    for word, number in (("c", "1111"), ("d", "2222")))
        self.assertNotIn("sleep 2222", self.exec(one, "ps", "-o", "args"))

    def test_a_pod_in_the_hosts_network(self):
        if self.sandboxer == "shim" and Settings.series == "2.1":
            self.skipTest("containerd 2.1 has no such pods of the sandbox API")
        options = {"security_context": {"namespace_options": {"network": 2}}}
        pod, path = self.run_pod(linux=options, hostname="")
        with socket.create_server(("127.0.0.1", 0)) as server:
            def answer():
                with server.accept()[0] as peer:
                    peer.sendall(b"the host's")
            thread = threading.Thread(target=answer)
            thread.start()
            port = server.getsockname()[1]
            container = self.start(pod, path, "app", ["sh", "-c", "echo mine >/tmp/index.html; "
                                                      "httpd -f -p 127.0.0.1:12345 -h /tmp"], linux=options)
            wait_until(lambda: self.crictl("exec", "-s", container, "sh", "-c",
                                           f"grep -qi ':{port:04x} ' /proc/net/tcp").code == 0, 30,
                       "the host's service is seen")
            self.assertEqual(self.exec(container, "sh", "-c", f"nc 127.0.0.1 {port} </dev/null"), "the host's")
            thread.join()

        def fetched():
            return run(["curl", "-s", "http://127.0.0.1:12345/index.html"], 20).out
        wait_until(lambda: fetched() == "mine\n", 30, lambda: f"the pod's port is the host's: {fetched()}")

    def test_folders_and_files_of_the_host(self):
        pod, path = self.run_pod()
        folder, parts = self.folder("data"), self.folder("parts")
        os.makedirs(f"{folder}/sub/deep")
        with open(f"{folder}/sub/file", "w") as file:
            file.write("of the host\n")
        # As the kubelet does with a subPath: what is meant, bound to a place of its own.
        open(f"{parts}/0", "w").close()
        for source, target in ((f"{folder}/sub/file", f"{parts}/0"),):
            subprocess.run(["mount", "--bind", source, target], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", target])
        container = self.start(pod, path, "app", ["sleep", "1000"], mounts=[
            self.mount(folder, "/data"), self.mount(f"{folder}/sub", "/readonly", readonly=True),
            self.mount(f"{parts}/0", "/etc/app/file")])
        self.assertEqual(self.exec(container, "cat", "/etc/app/file"), "of the host")
        self.exec(container, "sh", "-c", "echo of the pod >/data/new")
        with open(f"{folder}/new") as file:
            self.assertEqual(file.read(), "of the pod\n")
        done = self.crictl("exec", "-s", container, "touch", "/readonly/x")
        self.assertIn("Read-only file system", done.out + done.err)

    def test_a_projected_volume_that_changes(self):
        pod, path = self.run_pod()
        volume = self.folder("projected")

        def write(version):
            os.mkdir(f"{volume}/..{version}")
            with open(f"{volume}/..{version}/token", "w") as file:
                file.write(f"{version}\n")
            os.symlink(f"..{version}", f"{volume}/..data_tmp")
            os.rename(f"{volume}/..data_tmp", f"{volume}/..data")
        write("one")
        os.symlink("..data/token", f"{volume}/token")
        container = self.start(pod, path, "app", ["sleep", "1000"],
                               mounts=[self.mount(volume, "/var/run/secrets", readonly=True)])
        self.assertEqual(self.exec(container, "cat", "/var/run/secrets/token"), "one")
        write("two")
        wait_until(lambda: self.exec(container, "cat", "/var/run/secrets/token") == "two", 30,
                   "the change is seen")

    def test_a_pod_with_two_containers_is_made_and_removed_again_and_again(self):
        """KATA_CRI_ROUNDS says how often; each call has the kubelet's patience."""
        rounds = int(os.environ.get("KATA_CRI_ROUNDS", "3"))
        longest = 0.0
        for _ in range(rounds):
            for step in self.round():
                longest = max(longest, step)
        print(f"        {rounds} rounds, the longest call {longest:.1f} s", flush=True)
        self.assertEqual(self.shims(), [])

    def round(self):
        """Seconds that each call of a pod's life took."""
        def call(*arguments):
            done = self.crictl(*arguments, timeout=30)
            self.assert_code(done, 0)
            seconds.append(done.seconds)
            return done.out.strip()
        seconds = []
        path = self.write("pod", self.pod_config())
        pod = call("runp", "-r", "kata", path)
        for word in ("one", "two"):
            config = self.write(word, {"metadata": {"name": word}, "image": {"image": self.image},
                                       "command": ["sleep", "1000"], "linux": {}})
            call("start", call("create", "--no-pull", pod, config, path))
        call("stopp", pod)
        call("rmp", pod)
        return seconds


class PodsOfSandboxApi(Pods, CriCase):
    sandboxer = "shim"


class PodsWithPause(Pods, CriCase):
    sandboxer = "podsandbox"
