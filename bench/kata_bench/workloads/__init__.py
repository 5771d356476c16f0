# SPDX-License-Identifier: Apache-2.0
"""What is measured, one module a group; measure(bench) emits the group's figures."""

from . import cpu, execs, files, io, isolation, memory, network, start, syscalls

WORKLOADS = {"start": start, "exec": execs, "syscall": syscalls, "cpu": cpu, "io": io, "files": files,
             "network": network, "memory": memory, "isolation": isolation}
