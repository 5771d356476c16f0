// SPDX-License-Identifier: Apache-2.0
//
// host/network/namespace_guard.h - whose network namespace it is.
#pragma once

#include <string>

#include "base/result.h"

namespace kata::network {

// Refuses a namespace whose interfaces a machine must not take: the host's own (that of this
// process or of the first one) and one in which processes of somebody else live. `path` is what the
// caller named, for the error.
// Errors  kFailedPrecondition  the message says whose it is and what to do
Result<void> CheckNamespace(int fd, const std::string& path, const std::string& proc = "/proc");

}  // namespace kata::network
