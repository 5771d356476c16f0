# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' critest, under containerd's CRI plugin: pods of both kinds, images from a registry here.

A "file" of this suite is a subject of critest with pods of one kind: "shim Streaming".
"""

import functools
import json
import os
import re
import subprocess
import tempfile

import critest_images
from outcomes import Outcome
from programs import on_terminal
from support import registry
from testbed import debs, image
from testbed.containerd import Containerd, fetch
from testbed.network import fetch_plugins

# Nothing of Debian's sources.
SOURCE, TOOLS = None, []
READS_CGROUPS = False
OWN_NETWORK = True
# What a run in the gate has time for.
QUICK = ("podsandbox Streaming", "shim Streaming")
SERIES = "2.1"
SANDBOXERS = ("podsandbox", "shim")
# containerd 2.1 has no pods of the sandbox API in the host's network.
NOT_THERE = "HostNetwork is true|portforward in host network"

NETWORK = {"cniVersion": "0.4.0", "name": "kt-critest", "plugins": [
    {"type": "bridge", "bridge": "ktcri0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "dataDir": "/run/kt-critest",
              "ranges": [[{"subnet": "10.97.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}


def program():
    return debs.script("fetch-cri-tools", "critest").split(maxsplit=1)[1]


@functools.cache
def subjects():
    """{subject: how many tests}"""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="kt-critest-", dir="/var/tmp") as folder:
        path = f"{folder}/report"
        subprocess.run([program(), "-ginkgo.dry-run", f"-ginkgo.json-report={path}"], check=True,
                       stdout=subprocess.DEVNULL)
        for spec in read_specs(path):
            counts[subject_of(spec)] = counts.get(subject_of(spec), 0) + 1
    return counts


def files(_source):
    """{name: how long it is against others}"""
    return {f"{sandboxer} {subject}": count for subject, count in sorted(subjects().items())
            for sandboxer in SANDBOXERS}


def read_specs(path):
    """The tests in a report of ginkgo's."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        reports = json.load(file)
    # Benchmarks are in the program, and not of the suite.
    return [spec for report in reports for spec in report["SpecReports"] or []
            if spec["LeafNodeType"] == "It" and "benchmark" not in title_of(spec)]


def subject_of(spec):
    return spec["ContainerHierarchyTexts"][0].removeprefix("[k8s.io] ")


def title_of(spec):
    texts = [*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]
    return " ".join(texts).removeprefix("[k8s.io] ")


def outcome_of(spec):
    failure = spec.get("Failure") or {}
    verdict = {"passed": "pass", "skipped": "skip"}.get(spec["State"], "fail")
    detail = failure.get("Message", "").replace("\n", " ").strip() if verdict == "skip" else \
        failure.get("Message", "")
    if verdict == "fail":
        detail += "\n" + spec.get("CapturedGinkgoWriterOutput", "")[-3000:]
    return Outcome(verdict, detail, spec["RunTime"] / 1e9)


class Suite:
    def __init__(self, _source, _tools, work, _program, env, seconds, runtime):
        self.work, self.env, self.seconds, self.runtime = work, env, seconds, runtime
        self.critest, self.plugins = program(), fetch_plugins()
        self.registry = registry.Registry(critest_images.make(work))
        self.beds = {}

    def run(self, name):
        """{test: Outcome} of a subject with pods of one kind."""
        sandboxer, subject = name.split(" ", 1)
        if sandboxer == "shim" and not self.runtime.is_vm:
            return {}
        bed = self.bed(sandboxer)
        report = f"{self.work}/report-{name.replace(' ', '-').replace('/', '-')}"
        # Subjects whose names begin as this one's does are subjects of their own.
        longer = [f"-ginkgo.skip={focus(other)}" for other in subjects()
                  if other.startswith(f"{subject} ")]
        if sandboxer == "shim":
            longer.append(f"-ginkgo.skip={NOT_THERE}")
        count = subjects()[subject]
        on_terminal([self.critest, f"-runtime-endpoint=unix://{bed.address}", "-runtime-handler=kata",
                     f"-ginkgo.focus={focus(subject)}", *longer, f"-ginkgo.json-report={report}",
                     "-ginkgo.no-color", "-ginkgo.seed=1", f"-ginkgo.timeout={self.seconds * count}s"],
                    {**self.env, "TMPDIR": self.work}, self.work, self.seconds, f"{report}.out")
        return {f"{sandboxer}: {title_of(spec)}": outcome_of(spec) for spec in read_specs(report)
                if subject_of(spec) == subject}

    def bed(self, sandboxer):
        """A containerd whose pods are of that kind, from its first use to the end of the run."""
        bed = self.beds.get(sandboxer)
        if bed and bed.process.poll() is not None:
            print(f"  containerd ended with {bed.process.returncode}:\n{bed.log_tail(6000)}", flush=True)
            bed.start()
        if not bed:
            _, folder = fetch(SERIES)
            bed = Containerd(folder, self.runtime, cri={"sandboxer": sandboxer, "plugins": self.plugins})
            if self.runtime.is_vm:
                self.runtime.be_patient()
            self.beds[sandboxer] = bed
            os.makedirs(f"{bed.base}/cni")
            os.makedirs(f"{bed.base}/registries/_default")
            with open(f"{bed.base}/cni/10-kt.conflist", "w") as file:
                json.dump({**NETWORK, "plugins": [
                    {**NETWORK["plugins"][0], "bridge": f"kt{sandboxer}"}, *NETWORK["plugins"][1:]]}, file)
            # Whatever registry a test names.
            with open(f"{bed.base}/registries/_default/hosts.toml", "w") as file:
                file.write(f'server = "http://{self.registry.address}"\n')
            bed.start()
            path = image.write_tar(f"{bed.base}/image.tar", image.PAUSE, settings=image.PAUSE_SETTINGS)
            bed.ctr("-n", "k8s.io", "image", "import", path, check=True)
        return self.beds[sandboxer]

    def clean(self):
        for bed in self.beds.values():
            try:
                bed.stop()
            finally:
                bed.destroy()
        self.registry.close()


def focus(subject):
    return rf"\[k8s\.io\] {re.escape(subject)} "
