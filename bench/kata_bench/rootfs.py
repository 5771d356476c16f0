# SPDX-License-Identifier: Apache-2.0
"""The bench's image: busybox, the probe, Debian's tools, and a tree of small files to walk and to untar."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile

from testbed import debs, image

from . import tools

NAME = "example.invalid/kata/bench:1"
TREE = "/bench/tree"
TAR = "/bench/tree.tar"


def compile_probe():
    """Path of the static probe, compiled when its source is new."""
    source = f"{os.path.dirname(os.path.abspath(__file__))}/probe.c"
    with open(source, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    path = f"{debs.cache()}/bench-probe/{digest}"
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        done = subprocess.run(["gcc", "-O2", "-static", "-o", f"{path}.part", source],
                              capture_output=True, text=True) if shutil.which("gcc") else None
        if done is None or done.returncode != 0:
            raise tools.FetchError("the probe cannot be compiled: apt-get install gcc libc6-dev")
        os.replace(f"{path}.part", path)
    return path


def small_files(count):
    """{path in the image: content} of a tree like a project's: folders of 20 files of 0 to 8 KiB."""
    found = {}
    for number in range(count):
        size = (number * 2654435761) % 8192
        line = f"file {number} of a made-up project\n"
        found[f"bench/tree/d{number // 200}/d{number // 20 % 10}/f{number}.txt"] = \
            (line * (size // len(line) + 1))[:size]
    return found


def _tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path.removeprefix("bench/"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


class Rootfs:
    """prepare() writes the tree; everything is below `base`.

    tree      a root file system that runs share, and that overlays have below them
    """

    def __init__(self, base, folder_of_tools, probe, files):
        self.base, self.tree = base, f"{base}/tree"
        self._tools, self._probe, self._count = folder_of_tools, probe, files

    def _added(self):
        """({path: content as bytes}, [folder]) besides busybox."""
        small = small_files(self._count)
        files = {path: text.encode() for path, text in small.items()}
        files[TAR[1:]] = _tar(small)
        files["www/index.html"] = b"hello\n"
        with open(self._probe, "rb") as file:
            files["bench/probe"] = file.read()
        for folder in ("bin", "lib"):
            for name in os.listdir(f"{self._tools}/{folder}"):
                with open(f"{self._tools}/{folder}/{name}", "rb") as file:
                    files[f"bench/{folder}/{name}"] = file.read()
        folders = {"www", "work", "work/tmpfs", "work/bind"}
        for path in files:
            parts = path.split("/")[:-1]
            folders.update("/".join(parts[:depth + 1]) for depth in range(len(parts)))
        return files, sorted(folders)

    def prepare(self):
        image.write_tree(self.tree)
        files, folders = self._added()
        for folder in folders:
            os.makedirs(f"{self.tree}/{folder}", exist_ok=True)
        for path, content in files.items():
            with open(f"{self.tree}/{path}", "wb") as file:
                file.write(content)
            if content.startswith(image.PROGRAMS):
                os.chmod(f"{self.tree}/{path}", 0o755)

    def write_image(self, path):
        """An OCI archive with the image NAME."""
        files, folders = self._added()
        return image.write_tar(path, name=NAME, folders=dict.fromkeys(folders, 0o755), files=files)

    def write_tree_tar(self, path):
        """The tree as a plain tar, which docker import takes."""
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(self.tree, arcname=".")
        return path

    def overlay(self, folder):
        """A writable root file system of its own above the tree, as snapshotters make it."""
        for name in ("upper", "work", "root"):
            os.makedirs(f"{folder}/{name}")
        subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={self.tree},upperdir={folder}/upper,"
                        f"workdir={folder}/work", "overlay", f"{folder}/root"], check=True)
        return f"{folder}/root"

    @staticmethod
    def remove_overlay(folder):
        subprocess.run(["umount", "--lazy", f"{folder}/root"], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(folder, ignore_errors=True)
