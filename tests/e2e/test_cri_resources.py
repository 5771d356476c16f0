# SPDX-License-Identifier: Apache-2.0
"""What containers of pods use and may use: stats, limits, and their change while they run."""

from support.cri_case import CriCase
from testbed.process import wait_until

MIB = 1 << 20


class Resources:
    def assert_limits(self, container, memory, quota):
        """As CRI has them, and as a container of a guest sees them."""
        known = self.status(container)["resources"]["linux"]
        self.assertEqual((known["memoryLimitInBytes"], known["cpuQuota"]), (str(memory * MIB), str(quota)))
        if self.runtime.is_vm:
            self.assertEqual(self.exec(container, "sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max"),
                             f"{memory * MIB}\n{quota} 100000")

    def test_stats_tell_what_containers_and_pods_use(self):
        pod, path = self.run_pod(linux={"cgroup_parent": f"/{self.containerd.namespace}"})
        container = self.start(pod, path, "app", ["sh", "-c", "dd if=/dev/zero of=/dev/null count=20000; sleep 1000"])
        def used():
            stats = self.ask_json("stats", "-o", "json", container)["stats"][0]
            return int(stats["cpu"]["usageCoreNanoSeconds"]["value"]), \
                int(stats["memory"]["workingSetBytes"]["value"])
        wait_until(lambda: min(used()) > 0, 30, lambda: f"something is used: {used()}")
        pods = self.ask_json("statsp", "-o", "json", "--id", pod)["stats"]
        self.assertEqual([entry["attributes"]["id"] for entry in pods], [pod])
        self.assertEqual(len(pods[0]["linux"]["containers"]), 1)

    def test_limits_are_changed_both_ways_while_a_container_runs(self):
        pod, path = self.run_pod()
        container = self.start(pod, path, "app", ["sleep", "1000"], linux={"resources": {
            "memory_limit_in_bytes": 64 * MIB, "cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512}})
        self.assert_limits(container, 64, 50000)
        for memory, quota in ((128, 100000), (32, 20000)):
            self.ask("update", "--memory", memory * MIB, "--cpu-period", 100000, "--cpu-quota", quota, container)
            self.assert_limits(container, memory, quota)

    def test_who_uses_more_memory_than_it_may_is_ended_alone(self):
        pod, path = self.run_pod()
        other = self.start(pod, path, "other", ["sleep", "1000"])
        greedy = self.start(pod, path, "greedy", ["sh", "-c", "tail /dev/zero"], linux={"resources": {
            "memory_limit_in_bytes": 32 * MIB, "memory_swap_limit_in_bytes": 32 * MIB}})
        status = self.wait_end(greedy, 90)
        self.assertEqual((status["reason"], status["exitCode"]), ("OOMKilled", 137))
        self.assertEqual(self.exec(other, "echo", "here"), "here")
        self.assertEqual(self.pod_state(pod), "SANDBOX_READY")


class ResourcesOfSandboxApi(Resources, CriCase):
    sandboxer = "shim"


class ResourcesWithPause(Resources, CriCase):
    sandboxer = "podsandbox"
