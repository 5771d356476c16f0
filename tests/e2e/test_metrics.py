# SPDX-License-Identifier: Apache-2.0
"""kata-monitor and what shims tell it (docs/metrics.md)."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from support.case import Settings, core, only
from support.docker_case import DockerCase
from support.monitor import Metrics, Monitor, Prometheus
from support.network_case import NetworkCase
from support.podman_case import PodmanCase
from testbed.docker import IMAGE, SHIM
from testbed.process import run, wait_until

TIMEOUT = 8


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def stopped(pid):
    """A process that does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@only("kata", "the metrics of sandboxes")
class MetricsOfSandboxes(NetworkCase):
    @classmethod
    def set_up_bed(cls):
        super().set_up_bed()
        cls.containerd_port = free_port()
        cls.containerd.stop()
        with open(f"{cls.containerd.base}/config.toml", "a") as file:
            file.write(f'\n[metrics]\n  address = "127.0.0.1:{cls.containerd_port}"\n')
        cls.containerd.start()
        cls.monitor = Monitor(cls.runtime, cls.containerd.base, "--timeout", str(TIMEOUT))
        cls.addClassCleanup(cls.end_monitor)

    @classmethod
    def end_monitor(cls):
        cls.monitor.end(signal.SIGKILL)

    @classmethod
    def _finish(cls):
        if hasattr(cls, "monitor"):
            cls.end_monitor()
        super()._finish()

    def start(self, name=None, flags=()):
        ns = self.new_namespace()
        self.net.add_veth(ns, next(self.numbers))
        self.containerd.run_detached(name or self.name, ["sleep", "100000"], *self.in_namespace(ns), *flags)
        return ns

    numbers = iter(range(20, 100))

    def shim_of(self, name):
        listed = json.loads(self.monitor.page("/sandboxes?format=json"))
        return [each["shim"] for each in listed if each["id"] == name][0]

    def documented(self):
        with open(f"{Settings.root}/docs/metrics.md") as file:
            return set(re.findall(r"(?m)^\| `(kata_\w+)` \|", file.read()))

    @core
    def test_a_sandbox_tells_its_figures(self):
        self.start()
        self.inside(f"ping -c 2 -W 5 {self.net.GATEWAY}")
        first = self.monitor.metrics()
        mine = {"sandbox_id": self.name}
        self.assertEqual(first.one("kata_monitor_sandbox_up", **mine), 1)
        self.assertEqual(first.one("kata_shim_guest_up", **mine), 1)
        self.assertEqual(first.one("kata_shim_guest_samples_refused", **mine), 0)
        self.assertEqual(first.one("kata_shim_containers", **mine), 1)
        self.assertEqual(first.one("kata_agent_containers", **mine), 1)
        self.assertGreater(first.one("kata_guest_meminfo", item="mem_total", **mine), 64 << 20)
        self.assertGreater(first.one("kata_guest_cpu_time", item="user", cpu="total", **mine), 0)
        self.assertGreater(first.one("kata_guest_netdev_stat", item="recv_packets", interface="eth0", **mine), 1)
        self.assertGreater(first.one("kata_shim_netdev", item="sent_packets", interface="eth0", **mine), 1)
        self.assertGreater(first.one("kata_hypervisor_proc_status", item="vmrss", **mine), 32 << 20)
        self.assertGreaterEqual(first.one("kata_hypervisor_machine_memory_bytes", **mine), 64 << 20)
        self.assertGreaterEqual(first.one("kata_hypervisor_machine_vcpus", **mine), 1)
        self.assertGreaterEqual(first.one("kata_hypervisor_memory_given_back_bytes", **mine), 0)
        self.assertGreater(first.one("kata_shim_pod_overhead_memory_in_bytes", **mine), 8 << 20)
        self.assertGreaterEqual(first.one("kata_shim_rpc_durations_histogram_milliseconds_count", action="create",
                                          **mine), 1)
        self.assertGreaterEqual(first.one("kata_shim_agent_rpc_durations_histogram_milliseconds_count",
                                          action="grpc.CreateContainerRequest", **mine), 1)
        self.assertGreaterEqual(first.one("kata_shim_fds", **mine), 8)
        second = self.monitor.metrics()
        self.assertEqual(second.one("kata_agent_scrape_count", **mine), first.one("kata_agent_scrape_count", **mine) + 1)
        self.assertGreaterEqual(second.one("kata_shim_pod_overhead_cpu", **mine), 0)
        self.assertGreaterEqual(second.one("kata_monitor_scrape_count"), 2)
        self.assertTrue(second.all("kata_monitor_start_phase_milliseconds_count", part="total"))
        self.assertEqual(set(second.types) - self.documented(), set(), "docs/metrics.md has all")

        one = self.monitor.metrics(f"?sandbox={self.name}")
        self.assertGreater(one.one("kata_guest_load", item="load1") + 1, 0)
        self.assertEqual(one.all("kata_guest_load", **mine), [])
        printed = run([f"{self.runtime.bin_dir}/kata-runtime", "metrics", self.name], 60)
        self.assert_code(printed, 0)
        self.assertEqual(Metrics(printed.out).one("kata_shim_containers"), 1)

    def test_what_an_egress_policy_denies_is_counted(self):
        annotation = "io.katacontainers.config.runtime.egress_deny"
        self.start(flags=["--annotation", f"{annotation}={self.net.GATEWAY}"])
        name = "kata_shim_egress_denied_packets_total"
        self.assertEqual(self.monitor.metrics().one(name, sandbox_id=self.name), 0)
        self.inside(f"ping -c 3 -W 1 {self.net.GATEWAY}")
        metrics = self.monitor.metrics()
        self.assertGreaterEqual(metrics.one(name, sandbox_id=self.name, interface="eth0"), 3)
        self.assertEqual(metrics.types[name], "counter")
        self.assertEqual(set(metrics.types) - self.documented(), set(), "docs/metrics.md has all")

    def test_one_that_ends_between_scrapes_is_no_failure(self):
        self.start()
        before = self.monitor.metrics()
        self.assertEqual(before.one("kata_monitor_sandbox_up", sandbox_id=self.name), 1)
        self.containerd.remove(self.name)
        after = self.monitor.metrics()
        self.assertEqual(after.all("kata_monitor_sandbox_up", sandbox_id=self.name), [])
        self.assertEqual(after.one("kata_monitor_scrape_failed_count"), before.one("kata_monitor_scrape_failed_count"))
        self.assertEqual(self.monitor.curl(f"/metrics?sandbox={self.name}")[0], 404)
        self.assertNotIn(self.name, self.monitor.page("/sandboxes"))

    def test_a_shim_that_hangs_costs_its_time_and_no_other_sandbox_anything(self):
        other = self.containerd.new_id()
        self.start()
        self.start(other)
        failed = self.monitor.metrics().one("kata_monitor_scrape_failed_count")
        with stopped(self.shim_of(self.name)):
            begin = time.monotonic()
            metrics = self.monitor.metrics()
            self.assertLess(time.monotonic() - begin, 3 * TIMEOUT)
            self.assertEqual(metrics.one("kata_monitor_sandbox_up", sandbox_id=self.name), 0)
            self.assertEqual(metrics.one("kata_monitor_sandbox_up", sandbox_id=other), 1)
            self.assertEqual(metrics.one("kata_shim_guest_up", sandbox_id=other), 1)
            self.assertEqual(metrics.one("kata_monitor_scrape_failed_count"), failed + 1)
            self.assertEqual(self.monitor.curl(f"/metrics?sandbox={self.name}")[0], 504)
        wait_until(lambda: self.monitor.metrics().one("kata_monitor_sandbox_up", sandbox_id=self.name) == 1, 60,
                   "it goes on")

    def test_a_guest_that_does_not_answer_leaves_what_the_host_knows(self):
        self.start()
        with stopped(self.containerd.tasks()[self.name][0]):
            metrics = self.monitor.metrics()
            self.assertEqual(metrics.one("kata_monitor_sandbox_up", sandbox_id=self.name), 1)
            self.assertEqual(metrics.one("kata_shim_guest_up", sandbox_id=self.name), 0)
            self.assertEqual(metrics.all("kata_guest_load", sandbox_id=self.name), [])
            self.assertGreater(metrics.one("kata_hypervisor_threads", sandbox_id=self.name), 1)

    @core
    def test_prometheus_takes_it_and_containerds_beside_it(self):
        self.start()
        bed = Prometheus(self.containerd.base, {
            "kata": (self.monitor.address, "/metrics"),
            "containerd": (f"127.0.0.1:{self.containerd_port}", "/v1/metrics")})
        try:
            for job in ("kata", "containerd"):
                wait_until(lambda: [value for _, value in bed.query(f'up{{job="{job}"}}')] == [1.0], 90,
                           lambda: f"{job} is up: {bed.said()}\ncontainerd: {self.containerd.log_tail()}")
            mine = f'sandbox_id="{self.name}"'
            wait_until(lambda: bed.query(f"kata_guest_load{{{mine}}}"), 60, "the guest's load")
            self.assertEqual(bed.query(f"kata_shim_guest_up{{{mine}}}")[0][1], 1)
            self.assertGreater(bed.query(f'kata_hypervisor_proc_status{{item="vmrss",{mine}}}')[0][1], 32 << 20)
            with open(f"{Settings.root}/deploy/grafana/kata-cpp.json") as file:
                panels = json.load(file)["panels"]
            for panel in panels:
                for target in panel["targets"]:
                    # Grafana puts the chosen ones in its place.
                    bed.query(target["expr"].replace("$sandbox", ".*"))
        finally:
            bed.end()

    def test_pages_sockets_and_what_is_no_request(self):
        self.assertIn("/sandboxes", self.monitor.page("/"))
        self.assertEqual(self.monitor.page("/healthz"), "ok\n")
        self.assertEqual(self.monitor.curl("/nonsense")[0], 404)
        self.assertEqual(self.monitor.curl("/metrics", "-d", "x=1")[0], 405)
        self.assertEqual(self.monitor.curl("/sandboxes", "-H", "Accept: application/json")[0], 200)
        path = f"{self.containerd.base}/monitor.sock"
        with open(path, "w"):  # nobody serves it
            pass
        os.unlink(path)
        other = Monitor(self.runtime, self.containerd.base, listen=f"unix:{path}")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(other.page("/healthz"), "ok\n")
        self.assertEqual(other.end(), 0)
        self.assertFalse(os.path.exists(path), "its socket goes with it")

    def test_tls(self):
        key, certificate = f"{self.containerd.base}/key.pem", f"{self.containerd.base}/cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=monitor",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        other = Monitor(self.runtime, self.containerd.base, "--tls-cert", certificate, "--tls-key", key)
        try:
            url = f"https://{other.address}/metrics"
            done = run(["curl", "-sS", "--cacert", certificate, url], 60)
            self.assert_code(done, 0)
            self.assertIn("kata_monitor_running_shim_count", done.out)
            self.assertNotEqual(run(["curl", "-sS", url], 60).code, 0, "who does not trust it")
            self.assertNotEqual(run(["curl", "-sS", f"http://{other.address}/metrics"], 60).code, 0)
        finally:
            self.assertEqual(other.end(), 0)
        wrong = run([f"{self.runtime.bin_dir}/kata-monitor", "--tls-cert", key, "--tls-key", key], 30)
        self.assertEqual(wrong.code, 1)
        self.assertIn("certificate", wrong.err)


class AnyFrontEnd:
    """Sandboxes that containerd's namespaces know nothing of appear as well."""

    def check(self, name, enter=lambda *argv: list(argv)):
        monitor = Monitor(self.runtime, self.folder, listen=f"unix:{self.folder}/monitor.sock", enter=enter)
        try:
            listed = json.loads(monitor.page("/sandboxes?format=json"))
            self.assertEqual(len(listed), 1, listed)
            self.assertIn(name, listed[0]["containers"])
            metrics = monitor.metrics()
            self.assertEqual(metrics.one("kata_shim_guest_up", sandbox_id=listed[0]["id"]), 1)
        finally:
            # In namespaces of its own it is a child of what was started.
            monitor.end()


@only("kata", "the metrics of sandboxes")
class MetricsOfDocker(AnyFrontEnd, DockerCase):
    door = SHIM

    def test_its_containers_appear(self):
        done = self.docker("run", "-d", "--network", "none", IMAGE, "sleep", "100000", check=True)
        self.check(done.out.strip(), self.bed.entered)


@only("kata", "the metrics of sandboxes")
class MetricsOfPodman(AnyFrontEnd, PodmanCase):
    def test_its_containers_appear(self):
        self.start("sleep", "100000")
        self.check(self.inspect("{{.Id}}"))
