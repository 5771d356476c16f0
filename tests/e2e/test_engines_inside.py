# SPDX-License-Identifier: Apache-2.0
"""Engines other than dockerd inside the sandbox: Debian's Podman, containerd alone, and systemd as the first
process, whose services are a web server and dockerd (docs/docker.md).
"""

import os

from support.case import only
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


@only("kata", "the machine's control groups are not of version 2 everywhere")
class SystemdInside(EngineCase):
    release = "13"
    packages = ("systemd", "systemd-sysv", "dbus", "docker.io", "docker-cli", *BASE)
    command = ("/sbin/init",)
    data = "/var/lib/docker"
    unit = ("[Service]\nExecStart=/bin/busybox httpd -f -p 80 -h /srv\nMemoryMax=64M\n"
            "[Install]\nWantedBy=multi-user.target\n")

    def wait_running(self):
        """All services are up, but for the one that loads modules, of which the image has none, and that of the
        host's console, whose device node --privileged brings and the guest has nothing behind."""
        self.step("systemd", f"for i in $(seq {SECONDS}); do",
                  "case $(systemctl is-system-running 2>/dev/null) in running|degraded) break ;; esac; sleep 0.5; done",
                  "systemctl list-jobs; systemctl --failed --no-legend --plain >/tmp/failed",
                  "grep -v -e modules-load -e getty@tty1 /tmp/failed || exit 0; exit 1")

    def test_systemd_is_the_first_process_and_its_services_have_limits_and_begin_again(self):
        folder = f"{self.bed.base}/srv"
        os.makedirs(folder)
        for name, text in (("web.service", self.unit), ("index.html", "web\n")):
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        self.start("-v", self.data, "-v", f"{folder}:/srv:ro", "--stop-signal", "SIGRTMIN+3")
        self.wait_running()
        self.assert_output(self.inside("cat /proc/1/comm"), "systemd\n")
        self.step("enable", "systemctl enable --now /srv/web.service")
        self.assert_published(80, "web\n")
        self.assert_output(self.inside("cat /sys/fs/cgroup/system.slice/web.service/memory.max"), f"{64 * 2**20}\n")
        self.step("dockerd", "systemctl start docker")
        self.assert_output(self.inside("docker info -f '{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}}'"),
                           "overlay2 systemd 2\n")
        self.step("import", "docker import /inner.tar bb")
        self.assertEqual(self.step("run", f"docker run --rm --memory 32m --pids-limit 50 bb sh -c '{LIMITS}'"),
                         "33554432\n50\n")
        self.docker("stop", "-t", "100", self.name, check=True)
        self.assertNotEqual(self.inspect(".State.ExitCode"), "137")
        self.docker("start", self.name, check=True)
        self.wait_running()
        self.assert_published(80, "web\n")
        self.assert_output(self.inside("docker images -q | wc -l"), "1\n")
        self.report()
