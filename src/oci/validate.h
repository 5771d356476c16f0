// SPDX-License-Identifier: Apache-2.0
//
// oci/validate.h - whether a specification makes sense, before anything is started for it.
//
// Looks at the messages only, never at the file system. Every error is kInvalidArgument and names
// the place, such as `process.cwd: "tmp" is not an absolute path`.
// Basis: OCI runtime-spec 1.2, config.md and config-linux.md.
#pragma once

#include <string_view>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::oci {

// A specification to create a container from: version 1.x, a process, a root, absolute mount
// destinations, known and unrepeated namespaces, well-formed devices and hooks, resources as
// ValidateResources().
Result<void> ValidateSpec(const Spec& spec);

// A process to start: a command, an absolute working directory, environment entries NAME=VALUE,
// known rlimits and each once, a scheduler and an I/O priority that Linux has.
Result<void> ValidateProcess(const Process& process);

// A filter: known actions, operators and flags, arguments 0 to 5. SCMP_ACT_NOTIFY is refused.
// Whether names of architectures and system calls mean something is for the guest to know.
Result<void> ValidateSeccomp(const LinuxSeccomp& seccomp);

// "0-2,5" or nothing: what the kernel takes for a set of processors or memory nodes.
Result<void> ValidateCpuList(std::string_view where, std::string_view list);

// Limits that a kernel could honour: no negative sizes other than -1 for "no limit", no CPU quota
// below 1000 microseconds, weights in their ranges.
Result<void> ValidateResources(const LinuxResources& resources);

}  // namespace kata::oci
