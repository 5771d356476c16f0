# SPDX-License-Identifier: Apache-2.0
"""Podman's bats suite: Debian's source and Debian's Podman, an image made here, a bats run a file.

Its files here are those whose subject is what an OCI runtime does.
"""

import os
import re
import shutil
import subprocess

from outcomes import Outcome
from programs import on_terminal
from runc_suite import parse, read_titles
from support import podman, registry
from testbed import image

SOURCE, TOOLS = "libpod", ["bats", *podman.PACKAGES]
READS_CGROUPS = False
# It makes bridges and finds containers by ids and names that are the host's.
OWN_NETWORK = True

FILES = ("030-run", "040-ps", "050-stop", "055-rm", "060-mount", "065-cp", "070-build", "075-exec",
         "080-pause", "130-kill", "140-diff", "160-volumes", "200-pod")
# What a run in the gate has time for: a machine without KVM takes seconds for each container.
QUICK = ("055-rm.bats", "060-mount.bats", "075-exec.bats", "080-pause.bats", "130-kill.bats",
         "140-diff.bats")

# Debian's busybox has no such applet, and a shell script would add to what it prints.
PRINTENV = """\
#include <stdio.h>
#include <stdlib.h>
extern char** environ;
int main(int argc, char** argv) {
  int missing = 0;
  for (char** entry = environ; argc < 2 && *entry; ++entry) puts(*entry);
  for (int i = 1; i < argc; ++i) {
    const char* value = getenv(argv[i]);
    if (value) puts(value);
    missing |= !value;
  }
  return missing;
}
"""


def files(source):
    """{name: how long it is against others}"""
    return {f"{name}.bats": len(read_titles(f"{source}/test/system/{name}.bats")) for name in FILES}


class Suite:
    def __init__(self, source, tools, work, program, env, seconds, _runtime):
        self.work, self.seconds, self.bats = work, seconds, f"{tools['bats']}/usr/bin/bats"
        self.tests = f"{work}/system"
        shutil.copytree(f"{source}/test/system", self.tests)
        with open(f"{self.tests}/helpers.bash") as file:
            self.helpers = file.read()
        self.registry = registry.Registry(self._remote_images())
        files = {"containers/registries.conf":
                 "unqualified-search-registries = []\n[[registry]]\n"
                 f'prefix = "{self._variable("TEST_IMAGE_REGISTRY")}"\n'
                 f'location = "{self.registry.address}"\ninsecure = true\n'}
        if "KATA_CONF_FILE" in env:
            with open(env["KATA_CONF_FILE"]) as file:
                files["kata-containers/configuration.toml"] = file.read()
        # By its own name: tests look for the runtime's state below /run by the name Podman gives it.
        self.podman = podman.Podman(f"{work}/podman", tools, os.path.realpath(program), files)
        self._make_image()
        os.mkdir(f"{work}/tmp")
        os.chmod(f"{work}/tmp", 0o1777)
        self.env = {**env, "PODMAN": self._patient_program(), "TMPDIR": f"{work}/tmp", "TERM": "xterm",
                    "PATH": f"{work}/podman/bin:{env['PATH']}", "BATS_TEST_TIMEOUT": str(2 * seconds),
                    "PODMAN_TIMEOUT": str(seconds)}

    def _make_image(self):
        """The image that the suite names, with the files that its recipe there gives it."""
        tag = self._variable("TEST_IMAGE_TAG")
        pause = "#!/bin/sh\necho Confirmed: testimage pause invoked as $0\nwhile :; do sleep 0.1; done\n"
        self.podman.load(
            f"{self._variable('TEST_IMAGE_REGISTRY')}/{self._variable('TEST_IMAGE_USER')}/"
            f"{self._variable('TEST_IMAGE_NAME')}:{tag}",
            folders={"home/podman": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "sbin": 0o755,
                     "lib": 0o755, "mnt": 0o755, "media": 0o755, "opt": 0o755, "srv": 0o755,
                     "var/lib": 0o755, "var/log": 0o755, "var/cache": 0o755},
            files={"home/podman/testimage-id": f"{tag}\n", "home/podman/pause": pause,
                   "etc/issue": "kata-cpp\n", "etc/alpine-release": "3.16.0\n",
                   "etc/os-release": "ID=kata-cpp\n", "etc/hosts": "127.0.0.1\tlocalhost\n",
                   "etc/services": "domain 53/udp\n",
                   "bin/printenv": self._compile("printenv", PRINTENV)},
            links={"etc/mtab": "/proc/mounts"},
            settings={"WorkingDir": "/home/podman",
                      "Cmd": ["/bin/echo", "This container is intended for podman CI testing"],
                      "Labels": {"created_by": "test/system/build-testimage",
                                 "created_at": podman.CREATED}},
            mtime=1600000000)

    def _patient_program(self):
        """Tests use what a container's program does at once as soon as `run -d` has returned."""
        path = f"{self.work}/podman/bin/patient-podman"
        with open(path, "w") as file:
            file.write("#!/bin/sh\ncase \" $* \" in\n"
                       f"*' run '*' -d '*) {self.podman.program} \"$@\"; code=$?; sleep 3; exit $code ;;\n"
                       f"esac\nexec {self.podman.program} \"$@\"\n")
        os.chmod(path, 0o755)
        return path

    def _variable(self, name):
        return re.search(rf'^PODMAN_{name}=.*:-"(.*)"}}$', self.helpers, re.M)[1]

    def _remote_images(self):
        """Those that tests pull by name."""
        user = self._variable("TEST_IMAGE_USER")
        return {f"{user}/{self._variable('TEST_IMAGE_NAME')}:{self._variable('NONLOCAL_IMAGE_TAG')}":
                image.make(), f"{user}/alpine:latest": image.make(files={"etc/issue": "remote\n"})}

    def _compile(self, name, text):
        with open(f"{self.work}/{name}.c", "w") as file:
            file.write(text)
        subprocess.run(["gcc", "-static", "-O1", "-o", f"{self.work}/{name}", f"{self.work}/{name}.c"],
                       check=True)
        with open(f"{self.work}/{name}", "rb") as file:
            return file.read()

    def run(self, name):
        """{test: Outcome} of one file."""
        titles = read_titles(f"{self.tests}/{name}")
        out = f"{self.work}/{name}.tap"
        code = on_terminal([self.bats, "--tap", "--timing", f"{self.tests}/{name}"], self.env,
                           self.tests, 60 + 2 * self.seconds * len(titles), out)
        with open(out, errors="replace") as file:
            found = parse(file.read())
        for title in titles:
            # bats expands them, and the suite's variables have no value there.
            title = re.sub(r"(?<!\\)\$\w+", "", title).replace('\\"', '"').replace("\\$", "$")
            found.setdefault(title, Outcome("fail", f"no verdict; bats ended with {code}"))
        return {f"{name}: {title}": outcome for title, outcome in found.items()}

    def clean(self):
        self.podman.clean()
        self.registry.close()
