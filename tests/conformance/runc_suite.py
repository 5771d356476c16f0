# SPDX-License-Identifier: Apache-2.0
"""runc's bats suite: Debian's source, a busybox image made here, one bats run per file."""

import contextlib
import glob
import os
import re
import shutil
import subprocess
import tarfile

from outcomes import Outcome
from programs import on_terminal
from support import image

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE, TOOLS = "runc", ["bats"]

LINE = re.compile(r"^(ok|not ok) \d+ (.*?)(?: in \d+(?:ms|sec))?(?: # (skip|timeout)(.*))?$")


class Suite:
    def __init__(self, source, tools, work, program, env, seconds):
        """source, tools: unpacked packages; work: a folder of this run; program: the runtime.

        seconds    for one test
        """
        self.work, self.seconds, self.bats = work, seconds, f"{tools['bats']}/usr/bin/bats"
        self.tests = f"{work}/tests/integration"
        shutil.copytree(f"{source}/tests/integration", self.tests)
        os.makedirs(f"{work}/contrib/cmd/recvtty")
        os.symlink(f"{HERE}/stand-ins/recvtty", f"{work}/contrib/cmd/recvtty/recvtty")
        self._make_images()
        # helpers.bash looks for the hierarchies with gawk; busybox's awk knows the same patterns.
        os.makedirs(f"{work}/bin")
        if not shutil.which("gawk"):
            with open(f"{work}/bin/gawk", "w") as file:
                file.write(f"#!/bin/sh\nexec {image.busybox()} awk \"$@\"\n")
            os.chmod(f"{work}/bin/gawk", 0o755)
        self.env = {**env, "RUNC": program, "PATH": f"{env['PATH']}:{work}/bin", "TERM": "xterm",
                    "BATS_TEST_TIMEOUT": str(seconds), "TMPDIR": f"{work}/tmp"}
        os.mkdir(f"{work}/tmp")
        os.chmod(f"{work}/tmp", 0o1777)

    def _make_images(self):
        tree = image.write_tree(f"{self.work}/image")
        for name in ("lib", "sbin", "var/tmp", "usr/bin"):
            os.makedirs(f"{tree}/{name}", exist_ok=True)
        # busybox's own image has none of these, and the suite puts links in their place.
        for name in ("proc", "sys", "run"):
            os.rmdir(f"{tree}/{name}")
        # The suite knows the users of busybox's own image: ids without a name among them.
        for name in ("passwd", "group"):
            with open(f"{tree}/etc/{name}", "r+") as file:
                kept = [line for line in file if not line.startswith(("app:", "extra:"))]
                file.seek(0)
                file.truncate()
                file.writelines(kept)
        arch = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
        path = f"{self.tests}/testdata/busybox-{arch}.tar.xz"
        with tarfile.open(path, "w:xz", preset=1) as tar:
            tar.add(tree, ".")
        # One test wants Debian for its ldconfig; a file of that name keeps the suite from downloads.
        os.link(path, f"{self.tests}/testdata/debian-{arch}.tar.xz")
        shutil.rmtree(tree)

    def files(self):
        return sorted(os.path.basename(path) for path in glob.glob(f"{self.tests}/*.bats"))

    def run(self, name):
        """{test: Outcome} of one file."""
        with open(f"{self.tests}/{name}") as file:
            titles = re.findall(r'^@test "(.*)" \{', file.read(), re.M)
        out = f"{self.work}/{name}.tap"
        code = on_terminal([self.bats, "--tap", "--timing", f"{self.tests}/{name}"], self.env,
                           self.tests, 60 + self.seconds * len(titles), out)
        with open(out, errors="replace") as file:
            found = parse(file.read())
        for title in titles:
            title = title.replace('\\"', '"').replace("\\$", "$")
            found.setdefault(title, Outcome("fail", f"no verdict; bats ended with {code}"))
        return {f"{name}: {title}": outcome for title, outcome in found.items()}

    @staticmethod
    def clean():
        """Removes the cgroups that tests which failed have left."""
        for top in glob.glob("/sys/fs/cgroup/*/runc-cgroups-integration-test"):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def parse(text):
    """{title: Outcome} of bats's TAP; lines with # belong to the failure above them."""
    found, current = {}, None
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            title, seconds = match[2], re.search(r" in (\d+)ms", line)
            verdict = "skip" if match[3] == "skip" else "pass" if match[1] == "ok" else "fail"
            while title in found:
                title += " (again)"
            detail = match[4].strip() if verdict == "skip" else \
                "timeout\n" if match[3] == "timeout" else ""
            current = Outcome(verdict, detail, int(seconds[1]) / 1000 if seconds else 0.0)
            found[title] = current
        elif line.startswith("#") and current and current.verdict == "fail":
            current.detail += line[2:] + "\n"
    return found
