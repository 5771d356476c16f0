# SPDX-License-Identifier: Apache-2.0
"""A small OCI image around a static busybox, made offline; and the same tree as a plain folder.

Basis: OCI image-spec 1.1 (image-layout, manifest, config, layer).
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile

from .process import BedError

NAME = "example.invalid/kata/busybox:e2e"
# For what make() gives with PAUSE_SETTINGS: the container that waits beside a pod's others.
PAUSE = "example.invalid/kata/pause:e2e"
PAUSE_SETTINGS = {"Cmd": ["/bin/tail", "-f", "/dev/null"]}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

FOLDERS = {"bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o555, "root": 0o700,
           "run": 0o755, "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "var": 0o755}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                  "app:x:1000:1000:app:/home:/bin/sh\n"
                  "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\napp:x:1000:\nextra:x:1500:app\nnogroup:x:65534:\n",
    "etc/kata-e2e": "made for tests\n",
    # For ctr commands that would take the -c of "sh -c" for an option of their own.
    "bin/script": "#!/bin/sh\nexec sh -c \"$@\"\n",
}
# How contents begin that are to be executable.
PROGRAMS = (b"#!", b"\x7fELF")


def busybox():
    """Path of a statically linked busybox; KATA_BUSYBOX can name one."""
    for path in (os.environ.get("KATA_BUSYBOX"), "/bin/busybox", "/usr/bin/busybox"):
        if path and os.path.exists(path):
            if subprocess.run(["ldd", path], capture_output=True).returncode == 0:
                raise BedError(f"{path} is not static: apt-get install busybox-static")
            return path
    raise BedError("no busybox: apt-get install busybox-static")


def _applets(path):
    return sorted(set(subprocess.check_output([path, "--list"], text=True).split()) - {"busybox"})


def _layer(folders, files, links, modes, mtime):
    path, out = busybox(), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        def add(name, kind, mode, data=b"", target=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), target
            info.mtime = mtime
            tar.addfile(info, io.BytesIO(data))
        for name, mode in {**FOLDERS, **folders}.items():
            add(name, tarfile.DIRTYPE, mode)
        for name, content in {**FILES, **files}.items():
            data = content if isinstance(content, bytes) else content.encode()
            mode = modes.get(name, 0o755 if data.startswith(PROGRAMS) else 0o644)
            add(name, tarfile.REGTYPE, mode, data)
        for name, target in links.items():
            add(name, tarfile.SYMTYPE, 0o777, target=target)
        with open(path, "rb") as file:
            add("bin/busybox", tarfile.REGTYPE, 0o755, file.read())
        for applet in _applets(path):
            add(f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
    return out.getvalue()


def _descriptor(blobs, media_type, data, **extra):
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blobs[digest] = data
    return {"mediaType": media_type, "digest": digest, "size": len(data), **extra}


def _upper_layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o644, len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


def make(folders=None, files=None, links=None, modes=None, settings=None, created=None, mtime=0,
         above=()):
    """An image: ({digest: bytes}, descriptor of its manifest).

    folders, files    what it has besides busybox's own: {path: mode}, {path: content};
    links             {path: target}; modes: of files that are to have another one, {path: mode}
    settings          what its configuration says besides the path and the shell
    created           its date, RFC 3339
    mtime             of every file
    above             more layers, the lowest first: {path: content} each; ".wh.NAME" takes NAME away
    """
    blobs, date = {}, {"created": created} if created else {}
    layers = [_descriptor(blobs, "application/vnd.oci.image.layer.v1.tar", data) for data in
              (_layer(folders or {}, files or {}, links or {}, modes or {}, mtime),
               *map(_upper_layer, above))]
    config = {**date, "architecture": ARCHITECTURE, "os": "linux",
              "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                         "Cmd": ["/bin/sh"], "WorkingDir": "/", **(settings or {})},
              "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
              "history": [{**date, "created_by": "testbed/image.py"}] * len(layers)}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _descriptor(blobs, "application/vnd.oci.image.config.v1+json",
                                      json.dumps(config).encode()),
                "layers": layers}
    return blobs, _descriptor(blobs, manifest["mediaType"], json.dumps(manifest).encode())


def write_tar(path, name=NAME, **options):
    """Writes an image as an OCI layout in a tar file at `path`; importing it gives image `name`.

    options    see make()
    """
    blobs, manifest = make(**options)
    # containerd wants the tag alone, Podman takes the whole name.
    ref = NAME.rsplit(":", 1)[1] if name == NAME else name
    index = {"schemaVersion": 2, "manifests": [
        {**manifest, "platform": {"architecture": ARCHITECTURE, "os": "linux"},
         "annotations": {"io.containerd.image.name": name,
                         "org.opencontainers.image.ref.name": ref}}]}
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
               "index.json": json.dumps(index).encode()}
    members.update({f"blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()})
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return path


def write_tree(path):
    """Lays the image's files out below the folder `path`, as a root file system."""
    os.makedirs(path, exist_ok=True)
    for name, mode in FOLDERS.items():
        os.makedirs(f"{path}/{name}", exist_ok=True)
        os.chmod(f"{path}/{name}", mode)
    for name, content in FILES.items():
        with open(f"{path}/{name}", "w") as file:
            file.write(content)
        os.chmod(f"{path}/{name}", 0o755 if content.startswith("#!") else 0o644)
    shutil.copy(busybox(), f"{path}/bin/busybox")
    # Asked of the original: a copy of just now is "busy" while another thread's child holds it open.
    for applet in _applets(busybox()):
        if not os.path.lexists(f"{path}/bin/{applet}"):
            os.symlink("busybox", f"{path}/bin/{applet}")
    return path


if __name__ == "__main__":
    import sys
    write_tar(sys.argv[1])
    print(NAME)
