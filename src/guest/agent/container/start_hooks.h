// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/start_hooks.h - the startContainer hooks: programs of the container that
// run right before its own.
//
// Runs in the container's first process, with what that process may do.
// Basis: OCI runtime-spec config.md "startContainer Hooks", runtime.md "State".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::guest {

using Environment = std::vector<std::string>;  // "NAME=value"

// In order, up to the first that fails. One that names no environment has `inherited`, the
// process's own, as with runc.
// Errors  kInternal          it ended with another code than 0; with what it said
//         kDeadlineExceeded  it ran longer than its timeout, and was killed
Result<void> RunStartHooks(const std::string& id, const oci::Spec& spec,
                           const Environment& inherited);

// The container's state as a hook reads it.
std::string FormatState(const std::string& id, const oci::Spec& spec, int pid);

}  // namespace kata::guest
