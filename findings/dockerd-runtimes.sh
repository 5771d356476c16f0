#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# dockerd-runtimes.sh - what dockerd makes of "runtimes" in daemon.json, at a start and on SIGHUP.
#
# Software   Docker 20.10.24, 26.1.5 and 28.5.2 (Debian 12, 13 and sid)
# Guess      after SIGHUP dockerd knows what it would know after a start with the same file; and a key that
#            a version does not know is an error or does nothing.
# Behaviour  a key that is no longer in the file keeps its value: "runtimes" and "default-runtime" that were
#            taken out stay until the next start. Runtimes of --add-runtime, which at a start are joined with
#            the file's, are gone after SIGHUP with any runtimes in the file. And 20.10 takes an entry with
#            "runtimeType" for one without a path: docker run --runtime kata runs runc, and says nothing.
# Seen       "kata" as the default with the file {}; only "k" left of "x" and "k"; kata's path ""
# In kata-cpp  src/host/cli/setup/docker_plan.cc: an undo loads a file with explicit values first, a dockerd
#            with --add-runtime is not reloaded, versions before 23 get a path, and a container's boot id is
#            compared with the host's.
#
# Needs root and apt (scripts/fetch-docker); starts private daemons. Exit status: 0 as described, 1 the
# behaviour has changed, 2 it could not be tried.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "not tried: root is needed" >&2 && exit 2; }
cd "$(dirname "$0")/.."
exec python3 -B - "$PWD" <<'PYTHON'
import json
import os
import signal
import sys
import time

sys.path.insert(0, sys.argv[1])
from testbed import docker
from testbed.process import BedError
from testbed.runtime import Runc

PATH, SHIM = {"path": "/bin/true"}, {"runtimeType": "io.containerd.kata.v2"}
changed = False


def known(bed, text):
    """(default, {runtime: entry}) after SIGHUP with this file."""
    with open(f"{bed.base}/daemon.json", "w") as file:
        json.dump(text, file)
    os.kill(bed.dockerd.pid, signal.SIGHUP)
    time.sleep(2)
    info = json.loads(bed.docker("info", "--format", "{{json .}}", check=True).out)
    return info["DefaultRuntime"], info["Runtimes"]


def expect(words, as_described):
    global changed
    print(f"{words}: {'as described' if as_described else 'CHANGED'}", flush=True)
    changed |= not as_described


try:
    for containerd, series in docker.SERIES.items():
        bin_dir = docker.fetch(containerd)[2]
        bed = docker.Docker(bin_dir, Runc(), docker.NO_DOOR, ("--add-runtime", "x=/bin/true"))
        try:
            bed.start()
            _, runtimes = known(bed, {"default-runtime": "k", "runtimes": {"k": PATH}})
            expect(f"{series} runtimes of the command line are forgotten", "x" not in runtimes)
            default, runtimes = known(bed, {})
            expect(f"{series} runtimes that were taken out stay", "k" in runtimes)
            expect(f"{series} a default that was taken out stays", default == "k")
            if series == "20.10":
                _, runtimes = known(bed, {"default-runtime": "runc",
                                          "runtimes": {"kata": SHIM}})
                expect(f"{series} a shim is taken for no path", runtimes["kata"] == {"path": ""})
                image = bed.import_image()
                done = bed.docker("run", "--rm", "--runtime", "kata", image, "uname", "-r")
                expect(f"{series} and runs with runc", done.out.strip() == os.uname().release)
            bed.stop()
        finally:
            bed.destroy()
except BedError as error:
    print(f"not tried: {error}", file=sys.stderr)
    sys.exit(2)
sys.exit(1 if changed else 0)
PYTHON
