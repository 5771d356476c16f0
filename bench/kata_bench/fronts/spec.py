# SPDX-License-Identifier: Apache-2.0
"""config.json of a bench's container: what runc's default is, with the capabilities that Docker gives.

Basis: OCI runtime-spec 1.0, config.md and config-linux.md.
"""

import os
import stat

CAPABILITIES = [f"CAP_{word}" for word in (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID "
    "SETPCAP SETUID SYS_CHROOT").split()]
ALL = CAPABILITIES + [f"CAP_{word}" for word in (
    "SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_MODULE SYS_RAWIO SYS_NICE SYS_TIME SYSLOG LEASE LINUX_IMMUTABLE "
    "IPC_LOCK IPC_OWNER DAC_READ_SEARCH").split()]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]


def _mount(target, kind, *options, source=None):
    return {"destination": target, "type": kind, "source": source or kind, "options": list(options)}


def make(command, root, cgroup, needs):
    sys_options = ["nosuid", "noexec", "nodev"] + ([] if needs.privileged else ["ro"])
    mounts = [_mount("/proc", "proc"),
              _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
              _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
                     "mode=0620"),
              _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k",
                     source="shm"),
              _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
              _mount("/sys", "sysfs", *sys_options)]
    mounts += [_mount(path, "tmpfs", "nosuid", "nodev", "mode=1777") for path in needs.tmpfs]
    mounts += [_mount(inside, "bind", "rbind", "rw", source=here) for here, inside in needs.mounts]
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    namespaces.append({"type": "network", **({"path": needs.netns} if needs.netns else {})})
    capabilities = ALL if needs.privileged else CAPABILITIES
    linux = {"namespaces": namespaces, "cgroupsPath": cgroup, "resources": {"devices": [
        {"allow": needs.privileged, "access": "rwm"}]}}
    if not needs.privileged:
        linux.update(maskedPaths=MASKED, readonlyPaths=READ_ONLY)
    if needs.device:
        status = os.stat(needs.device)
        numbers = {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
        linux["devices"] = [{"path": needs.device, "type": kind, "fileMode": 0o660, "uid": 0,
                             "gid": 0, **numbers}]
        linux["resources"]["devices"].append({"allow": True, "type": kind, "access": "rwm",
                                              **numbers})
    return {"ociVersion": "1.0.2",
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": list(command),
                        "env": ENVIRONMENT, "cwd": "/", "noNewPrivileges": not needs.privileged,
                        "capabilities": {kind: capabilities for kind in
                                         ("bounding", "effective", "permitted")}},
            "root": {"path": root, "readonly": False}, "hostname": "bench", "mounts": mounts,
            "linux": linux}
