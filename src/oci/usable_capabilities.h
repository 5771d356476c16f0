// SPDX-License-Identifier: Apache-2.0
//
// oci/usable_capabilities.h - what a process asks for that no kernel gives it.
//
// Basis: capabilities(7); OCI runtime-spec config.md "capabilities": what cannot be granted is
// logged and does not fail the container.
#pragma once

#include <string>
#include <vector>

#include "proto/oci.pb.h"

namespace kata::oci {

// Takes out capabilities of no known name, and ambient ones that are not permitted and inheritable
// as well. Returns what to say of them, a line each, in runc's words.
std::vector<std::string> RemoveUnusableCapabilities(Process* process);

}  // namespace kata::oci
