// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/sysctls.h - kernel parameters by the names that specifications use.
// Basis: OCI runtime-spec config-linux.md "Sysctl".
#pragma once

#include <string>

#include "base/result.h"

namespace kata::guest {

// In the namespaces that the caller is in. `name` is "net.ipv4.ip_forward" or, for parts with dots,
// "net/ipv4/conf/eth0.1/forwarding".
// Errors  kInvalidArgument  not a name
Result<void> SetSysctl(const std::string& name, const std::string& value);

}  // namespace kata::guest
