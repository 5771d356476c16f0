# SPDX-License-Identifier: Apache-2.0
"""runc's bats suite: Debian's source, a busybox image made here, one bats run per file."""

import contextlib
import glob
import os
import re
import shlex
import shutil
import subprocess
import tarfile

from outcomes import Outcome
from programs import on_terminal
from testbed import image

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE, TOOLS = "runc", ["bats"]
QUICK = ()
OWN_NETWORK = False
# Its tests look into the cgroups that they make.
READS_CGROUPS = True

# What tests run in the suite's Debian image, and busybox has not or otherwise.
DEBIAN_PROGRAMS = ("bash", "findmnt", "stat", "ldconfig", "ionice", "chrt", "mount", "umount")

LINE = re.compile(r"^(ok|not ok) \d+ (.*?)(?: in \d+(?:ms|sec))?(?: # (skip)(.*))?$")


def files(source):
    """{name: how long it is against others}"""
    return {os.path.basename(path): len(read_titles(path))
            for path in sorted(glob.glob(f"{source}/tests/integration/*.bats"))}


def read_titles(path):
    with open(path) as file:
        return re.findall(r'^@test "(.*)" \{', file.read(), re.M)


class Suite:
    def __init__(self, source, tools, work, program, env, seconds, runtime):
        """source, tools: unpacked packages; work: a folder of this run; program: the runtime.

        seconds    for one test
        runtime    the testbed's; of a virtual machine: cgroups of containers are to be looked at inside
        """
        self.work, self.seconds, self.bats = work, seconds, f"{tools['bats']}/usr/bin/bats"
        self.tests = f"{work}/tests/integration"
        shutil.copytree(f"{source}/tests", f"{work}/tests")
        if runtime.is_vm:
            with open(f"{HERE}/stand-ins/inside.bash") as extra, \
                    open(f"{self.tests}/helpers.bash", "a") as file:
                file.write("\n" + extra.read())
        self._make_programs(source)
        self._make_images()
        # helpers.bash looks for the hierarchies with gawk; busybox's awk knows the same patterns.
        os.makedirs(f"{work}/bin")
        if not shutil.which("gawk"):
            with open(f"{work}/bin/gawk", "w") as file:
                file.write(f"#!/bin/sh\nexec {shlex.quote(image.busybox())} awk \"$@\"\n")
            os.chmod(f"{work}/bin/gawk", 0o755)
        self.env = {**env, "RUNC": program, "PATH": f"{env['PATH']}:{work}/bin", "TERM": "xterm",
                    "TMPDIR": f"{work}/tmp"}
        os.mkdir(f"{work}/tmp")
        os.chmod(f"{work}/tmp", 0o1777)

    def _make_programs(self, source):
        """What tests run on the host: since 1.2 a folder of Go programs, before that recvtty."""
        if os.path.isdir(f"{source}/tests/cmd"):
            os.makedirs(f"{self.work}/tests/cmd/_bin", exist_ok=True)
            for name in os.listdir(f"{source}/tests/cmd"):
                if glob.glob(f"{source}/tests/cmd/{name}/*.go"):
                    subprocess.run(["go", "build", "-o", f"{self.work}/tests/cmd/_bin/{name}",
                                    f"./tests/cmd/{name}"], cwd=source, check=True,
                                   env={**os.environ, "CGO_ENABLED": "0"})
            return
        os.makedirs(f"{self.work}/contrib/cmd/recvtty")
        subprocess.run(["g++", "-O1", "-o", f"{self.work}/contrib/cmd/recvtty/recvtty",
                        f"{HERE}/stand-ins/recvtty.cc"], check=True)

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
        debian = f"{self.tests}/testdata/debian-{arch}.tar.xz"
        if os.path.isdir(f"{self.work}/tests/cmd"):
            for program in DEBIAN_PROGRAMS:
                copy_program(shutil.which(program), tree)
            with tarfile.open(debian, "w:xz", preset=1) as tar:
                tar.add(tree, ".")
            # In place of the script that would download them.
            with open(f"{self.tests}/get-images.sh", "w") as file:
                file.write(f"#!/bin/sh\necho BUSYBOX_IMAGE={path}\necho DEBIAN_IMAGE={debian}\n")
        else:
            # One test wants Debian for its ldconfig; a file of that name keeps the suite from downloads.
            os.link(path, debian)
        shutil.rmtree(tree)

    def run(self, name):
        """{test: Outcome} of one file."""
        titles = read_titles(f"{self.tests}/{name}")
        out = f"{self.work}/{name}.tap"
        code = on_terminal([self.bats, "--tap", "--timing", f"{self.tests}/{name}"], self.env,
                           self.tests, self.seconds, out)
        if code is None:
            self._delete_containers()
        with open(out, errors="replace") as file:
            found = parse(file.read())
        for title in titles:
            title = title.replace('\\"', '"').replace("\\$", "$")
            found.setdefault(title, Outcome("fail", f"no verdict; bats ended with {code}"))
        return {f"{name}: {title}": outcome for title, outcome in found.items()}

    def _delete_containers(self):
        """Those of a file that was killed, whose names the next one may use again."""
        for root in glob.glob(f"{self.work}/tmp/**/state", recursive=True):
            words = [self.env["RUNC"], "--root", root]
            names = subprocess.run([*words, "list", "-q"], env=self.env, text=True,
                                   stdout=subprocess.PIPE).stdout.split()
            for name in names:
                subprocess.run([*words, "delete", "--force", name], env=self.env)

    @staticmethod
    def clean():
        """Removes the cgroups that tests which failed have left."""
        for top in glob.glob("/sys/fs/cgroup/*/runc-cgroups-integration-test"):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def copy_program(path, tree):
    """The program, and the libraries that it loads, in place of what busybox has of that name."""
    listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    for file in [path, *re.findall(r"(/\S+) \(0x", listed)]:
        targets = [f"{tree}/{folder}/{os.path.basename(path)}" for folder in ("bin", "usr/bin")]
        for target in targets if file == path else [tree + file]:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
            shutil.copy(file, target)


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
            detail = match[4].strip() if verdict == "skip" else ""
            current = Outcome(verdict, detail, int(seconds[1]) / 1000 if seconds else 0.0)
            found[title] = current
        elif line.startswith("#") and current and current.verdict == "fail":
            current.detail += line[2:] + "\n"
    return found
