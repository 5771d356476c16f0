# SPDX-License-Identifier: Apache-2.0
"""containerd's own API for what ctr cannot do: a task that is created and not started.

HTTP/2 is curl's; this file only frames messages. One process per call.
"""

import json
import re
import struct
import subprocess
import tempfile

from . import protobuf
from .ttrpc import RpcError

TASKS = "containerd.services.tasks.v1.Tasks"
SNAPSHOTS = "containerd.services.snapshots.v1.Snapshots"
IMAGES = "containerd.services.images.v1.Images"

STATUS = {0: "UNKNOWN", 1: "CREATED", 2: "RUNNING", 3: "STOPPED", 4: "PAUSED", 5: "PAUSING"}


def call(containerd, service, method, payload=b"", timeout=60):
    """The reply of a unary call; RpcError for any status but OK."""
    with tempfile.NamedTemporaryFile(dir=containerd.base) as head:
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2-prior-knowledge",
             "--unix-socket", containerd.address, "--max-time", str(timeout),
             "-H", "content-type: application/grpc", "-H", "te: trailers",
             "-H", f"containerd-namespace: {containerd.namespace}",
             "--dump-header", head.name, "--data-binary", "@-",
             f"http://localhost/{service}/{method}"],
            input=struct.pack(">BI", 0, len(payload)) + payload, capture_output=True)
        headers = head.read().decode(errors="replace")
    status = re.search(r"^grpc-status: *(\d+)", headers, re.M | re.I)
    if status is None:
        raise AssertionError(f"{service}/{method}: {done.stderr.decode()} {headers}")
    if status[1] != "0":
        message = re.search(r"^grpc-message: *(.*?)\r?$", headers, re.M | re.I)
        raise RpcError(int(status[1]), message[1] if message else "")
    size = struct.unpack(">I", done.stdout[1:5])[0]
    return done.stdout[5:5 + size]


def _mounts(containerd, name):
    reply = call(containerd, SNAPSHOTS, "Mounts", protobuf.encode((1, "overlayfs"), (2, name)))
    return protobuf.decode(reply).get(1, [])


def create_task(containerd, name, stdin="", stdout="", stderr="", timeout=60, rootfs=None,
                checkpoint=b""):
    """Tasks.Create for an existing container; the task's pid.

    rootfs      [(type, source, options)] in place of the container's snapshot
    checkpoint  the descriptor of a checkpoint's content, as checkpoint() has it
    """
    mounts = _mounts(containerd, name) if rootfs is None else [
        protobuf.encode((1, kind), (2, source), (4, options)) for kind, source, options in rootfs]
    reply = call(containerd, TASKS, "Create",
                 protobuf.encode((1, name), (3, mounts), (4, stdin), (5, stdout), (6, stderr),
                                 (8, checkpoint)),
                 timeout)
    return protobuf.first(protobuf.decode(reply), 2)


def checkpoint(containerd, name, *flags, timeout=120):
    """`ctr task checkpoint`: the descriptor for create_task. An image keeps the content."""
    done = containerd.ctr("task", "checkpoint", *flags, name, timeout=timeout)
    if done.code != 0:
        raise AssertionError(done.err)
    image = call(containerd, IMAGES, "Get", protobuf.encode((1, done.out.split()[-1])))
    target = protobuf.decode(protobuf.first(protobuf.decode(protobuf.first(protobuf.decode(image), 1)), 3))
    index = containerd.ctr("content", "get", protobuf.first(target, 2).decode(), check=True).out
    for content in json.loads(index)["manifests"]:
        if content["mediaType"].endswith("checkpoint.criu.tar"):
            return protobuf.encode((1, content["mediaType"]), (2, content["digest"]), (3, content["size"]))
    raise AssertionError(index)


def start_task(containerd, name, exec_id="", timeout=60):
    reply = call(containerd, TASKS, "Start", protobuf.encode((1, name), (2, exec_id)), timeout)
    return protobuf.first(protobuf.decode(reply), 1)


def exec_process(containerd, name, exec_id, process, stdin="", stdout="", stderr="",
                 timeout=60):
    """Tasks.Exec; `process` is a specification's, as JSON."""
    spec = protobuf.encode((1, "types.containerd.io/opencontainers/runtime-spec/1/Process"),
                           (2, process))
    call(containerd, TASKS, "Exec", protobuf.encode(
        (1, name), (2, stdin), (3, stdout), (4, stderr), (6, spec), (7, exec_id)), timeout)


def close_stdin(containerd, name, exec_id="", timeout=60):
    call(containerd, TASKS, "CloseIO", protobuf.encode((1, name), (2, exec_id), (3, 1)), timeout)


def delete_task(containerd, name, timeout=60):
    """(exit status, pid)."""
    reply = protobuf.decode(call(containerd, TASKS, "Delete", protobuf.encode((1, name)), timeout))
    return protobuf.first(reply, 3), protobuf.first(reply, 2)


def kill_task(containerd, name, number, exec_id="", all_processes=False, timeout=60):
    call(containerd, TASKS, "Kill", protobuf.encode((1, name), (2, exec_id), (3, number),
                                                    (4, int(all_processes))), timeout)


def task_status(containerd, name, timeout=60):
    """The status word, or None for NOT_FOUND."""
    try:
        reply = call(containerd, TASKS, "Get", protobuf.encode((1, name)), timeout)
    except RpcError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
    process = protobuf.decode(protobuf.first(protobuf.decode(reply), 1, b""))
    return STATUS[protobuf.first(process, 4)]
