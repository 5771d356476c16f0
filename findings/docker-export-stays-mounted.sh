#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# docker-export-stays-mounted.sh - docker export of 26.1 leaves the container's root mounted, after docker rm too.
#
# Software   Docker 20.10.24, 26.1.5 and 28.5.2 (Debian 12, 13 and sid), runc 1.1.5, overlay2
# Guess      an export looks into the root and lets it go; docker cp and docker diff do so in all of them.
# Behaviour  26.1 mounts the root for docker export and does not count it as let go: the overlay stays mounted
#            below overlay2/ID/merged in dockerd's mount namespace when the container is removed, one for each
#            container that was exported, until dockerd's namespace or host ends. 20.10 and 28.5 do not.
# Seen       both of two exported containers' roots in dockerd's mountinfo after docker rm --force
# In kata-cpp  the mounts of 26.1's are no leftovers of ours in tests/support/docker_case.py.
#
# Needs root and apt (scripts/fetch-docker); starts private daemons. Exit status: 0 as described, 1 the
# behaviour has changed, 2 it could not be tried.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "not tried: root is needed" >&2 && exit 2; }
cd "$(dirname "$0")/.."
exec python3 -B - "$PWD" <<'PYTHON'
import sys

sys.path.insert(0, sys.argv[1])
from testbed import docker
from testbed.process import BedError
from testbed.runtime import Runc

changed = False


def roots(bed):
    """How many roots of containers dockerd has mounted."""
    with open(f"/proc/{bed.dockerd.pid}/mountinfo") as file:
        return sum(f"{bed.base}/docker/overlay2/" in line for line in file)


def left_by(bed, image, *words):
    """What is mounted after two containers of which each was asked this, running and ended, and removed."""
    for ended in (False, True):
        bed.docker("run", "--detach", "--name", "looked-at", image, "sleep", "1000", check=True)
        if ended:
            bed.docker("kill", "looked-at", check=True)
        bed.docker(*words, check=True)
        bed.docker("rm", "--force", "looked-at", check=True)
    return roots(bed)


try:
    for containerd, series in docker.SERIES.items():
        bed = docker.Docker(docker.fetch(containerd)[2], Runc(), docker.NO_DOOR)
        try:
            bed.start()
            image = bed.import_image()
            for words, expected in ((("cp", "looked-at:/etc/group", f"{bed.base}/copied"), 0),
                                    (("diff", "looked-at"), 0),
                                    (("export", "--output", f"{bed.base}/exported", "looked-at"),
                                     2 if series == "26.1" else 0)):
                left = left_by(bed, image, *words)
                print(f"{series} docker {words[0]}: {left} of 2 roots stay mounted: "
                      f"{'as described' if left == expected else 'CHANGED'}", flush=True)
                changed |= left != expected
            bed.stop()
        finally:
            bed.destroy()
except BedError as error:
    print(f"not tried: {error}", file=sys.stderr)
    sys.exit(2)
sys.exit(1 if changed else 0)
PYTHON
