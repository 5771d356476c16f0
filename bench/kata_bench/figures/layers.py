# SPDX-License-Identifier: Apache-2.0
"""The host's memory for containers of one image, with images of its layers and without.

What the host has of the image itself is in its page cache, once for all that read it; a guest has what its
container has read in its own cache, which is memory of its VMM.
"""

import glob
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from testbed import image
from testbed.process import wait_until

from .. import processes
from .many import mib_by_program, remove_all

NAME = "example.invalid/kata/large:e2e"
FILES = 50
FILE_MIB = 4
PART = 5  # files that containers read at first
SECONDS = 600


def _import(bed):
    path = image.write_tar(f"{bed.base}/large.tar", NAME, folders={"large": 0o755}, files={
        f"large/{number}": os.urandom(FILE_MIB << 20) for number in range(FILES)})
    try:
        bed.ctr("image", "import", path, check=True)
    finally:
        os.unlink(path)


def _start(bed, name):
    bed.ctr("run", "-d", "--runtime", bed.runtime.type, NAME, name, "sleep", "100000", timeout=SECONDS, check=True)


def _read(bed, label, count, files):
    """Every container reads these files."""
    paths = " ".join(f"/large/{number}" for number in files)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda number: bed.exec(f"{label}-{number}", [
            "sh", "-c", f"cat {paths} | wc -c"], timeout=SECONDS), range(count)))
    wanted = f"{len(files) * (FILE_MIB << 20)}\n"
    if any(each.out != wanted for each in done):
        raise RuntimeError(f"a container has read something else: {done}")


def _cached_mib(paths):
    """What the kernel has of files in memory."""
    sizes = subprocess.check_output(["fincore", "--bytes", "--noheadings", "--output", "RES", *paths], text=True)
    return sum(map(int, sizes.split())) / 2**20


def _of_image(bed):
    """The files that hold the image's content on the host."""
    return [*glob.glob(f"{bed.base}/layers/[0-9a-f]*/image"),
            *glob.glob(f"{bed.base}/root/*overlayfs/snapshots/*/fs/large/*")]


def _weigh(bed, known, count):
    processes.settle()
    memory = mib_by_program(known)
    return {"image_in_page_cache_mib": round(_cached_mib(_of_image(bed))),
            "pss_mib_each": round(sum(memory.values()) / count, 1),
            "pss_mib_each_by_program": {program: round(mib / count, 1) for program, mib in sorted(memory.items())
                                        if mib / count >= 0.1}}


def _crowd(bed, label, count):
    subprocess.run(["sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches"], check=True)
    known, result = processes.table(), {}
    try:
        for number in range(count):
            _start(bed, f"{label}-{number}")
        result["idle"] = _weigh(bed, known, count)
        _read(bed, label, count, range(PART))
        result[f"each has read {PART * FILE_MIB} MiB"] = _weigh(bed, known, count)
        _read(bed, label, count, range(FILES))
        result[f"each has read all {FILES * FILE_MIB} MiB"] = _weigh(bed, known, count)
    finally:
        remove_all(bed, label, count)
    return result


def measure(make_bed, kata, runc, count):
    """{label: {state: figures}}; kata is measured with images of layers and without."""
    results = {"count": count, "image_mib": FILES * FILE_MIB}
    for label, runtime, settings in (("layers", kata, {"rootfs_layers": True}),
                                     ("shared", kata, {"rootfs_layers": False}), ("runc", runc, None)):
        bed = make_bed(runtime)
        try:
            if settings is not None:
                kata.write_config(kata.config, settings=settings)
            _import(bed)
            if label == "layers":
                _start(bed, "first")
                wait_until(lambda: glob.glob(f"{bed.base}/layers/[0-9a-f]*/image"), SECONDS, "the layer's image")
                bed.remove("first")
            results[label] = _crowd(bed, label, count)
            bed.stop()
        finally:
            bed.destroy()
    return results


def rows(result):
    """[(name, value)] for people."""
    found = []
    for label in ("layers", "shared", "runc"):
        found.append((f"{label}: {result['count']} containers of an image of {result['image_mib']} MiB", ""))
        for state, each in result[label].items():
            parts = ", ".join(f"{program} {mib}" for program, mib in each["pss_mib_each_by_program"].items())
            found.append((f"  {state}", f"{each['image_in_page_cache_mib']} MiB of the image in the host's page "
                                        f"cache; {each['pss_mib_each']} MiB (PSS) each: {parts}"))
    return found
