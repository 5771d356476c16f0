// SPDX-License-Identifier: Apache-2.0
//
// oci/validate.h - whether a specification makes sense, before anything is started for it.
//
// Looks at the messages only, never at the file system. Every error is kInvalidArgument and names
// the place, such as `process.cwd: "tmp" is not an absolute path`.
// Basis: OCI runtime-spec 1.2, config.md and config-linux.md.
#pragma once

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::oci {

// A specification to create a container from: version 1.x, a process, a root, absolute mount
// destinations, known and unrepeated namespaces, well-formed devices and hooks, resources as
// ValidateResources().
Result<void> ValidateSpec(const Spec& spec);

// A process to start: a command, an absolute working directory, environment entries NAME=VALUE,
// known rlimits and each once.
Result<void> ValidateProcess(const Process& process);

// Limits that a kernel could honour: no negative sizes other than -1 for "no limit", no CPU quota
// below 1000 microseconds, weights in their ranges.
Result<void> ValidateResources(const LinuxResources& resources);

}  // namespace kata::oci
