# SPDX-License-Identifier: Apache-2.0
"""Engines other than dockerd inside the sandbox: Debian's Podman, and containerd alone (docs/docker.md)."""

from support.inside_case import SECONDS, EngineCase
from testbed import image

BASE = ("iptables", "iproute2", "procps", "ca-certificates", "busybox-static", "e2fsprogs")
LIMITS = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"


class PodmanInside(EngineCase):
    release = "13"
    packages = ("podman", "buildah", "crun", "runc", "nftables", "netavark", "aardvark-dns", *BASE)
    data = "/var/lib/containers"

    def test_podman_loads_runs_builds_and_publishes_and_has_pods(self):
        self.start("-v", self.data)
        if self.runtime.is_vm:
            self.assert_output(self.inside("podman info -f '{{.Store.GraphDriverName}} {{.Host.CgroupsVersion}}'"),
                               "overlay v2\n")
        self.step("import", "podman import -q /inner.tar bb")
        self.assertEqual(self.step("run", "podman run --rm bb echo one"), "one\n")
        self.step("again", "podman run --rm bb true")
        self.step("publish", "podman run -d -p 8080:80 bb sh -c 'echo web >/index.html; httpd -f -h / -p 80'")
        self.assert_published(8080, "web\n")
        self.step("build", "mkdir -p /b; printf 'FROM bb\\nRUN echo built >/built\\n' >/b/Dockerfile",
                  "podman build -q -t built /b")
        self.assertEqual(self.step("built", "podman run --rm built cat /built"), "built\n")
        self.step("pod", "podman pod create --name p1 --infra-image bb --infra-command 'sleep inf' -p 8081:80",
                  "podman run -d --pod p1 bb sh -c 'echo pod >/index.html; httpd -f -h / -p 80'")
        self.assertEqual(self.step("in the pod", "podman run --rm --pod p1 bb wget -q -O - http://127.0.0.1/"), "pod\n")
        self.assert_published(8081, "pod\n")
        if self.runtime.is_vm:
            self.assertEqual(self.step("limits", f"podman run --rm --memory 32m --pids-limit 50 bb sh -c '{LIMITS}'"),
                             "33554432\n50\n")
        self.report()


class ContainerdInside(EngineCase):
    release = "13"
    packages = ("containerd", "runc", *BASE)
    data = "/var/lib/containerd"

    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.archive = image.write_tar(f"{cls.bed.base}/image.tar")

    def test_containerd_alone_runs_containers_of_its_own_snapshots(self):
        self.start("-v", self.data, "-v", f"{self.archive}:/image.tar:ro")
        self.step("containerd", "containerd >/var/log/containerd.log 2>&1 &",
                  f"for i in $(seq {SECONDS}); do ctr version >/dev/null 2>&1 && exit 0; sleep 0.5; done",
                  "tail -20 /var/log/containerd.log >&2; exit 1")
        if self.runtime.is_vm:
            self.assertIn(" ok", self.inside("ctr plugins ls | grep 'snapshotter.*overlayfs'").out)
        self.step("import", "ctr image import /image.tar")
        run = f"ctr run {{}} {image.NAME} {{}} {{}}"
        self.assertEqual(self.step("run", run.format("--rm", "c1", "echo one")), "one\n")
        self.step("again", run.format("--rm", "c2", "true"))
        if self.runtime.is_vm:
            self.assertEqual(self.step("limits", run.format("--detach --memory-limit 33554432", "c3", "sleep 1000"),
                                       "cat /sys/fs/cgroup/default/c3/memory.max"), "33554432\n")
        self.report()
