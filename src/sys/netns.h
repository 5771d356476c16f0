// SPDX-License-Identifier: Apache-2.0
//
// sys/netns.h - network namespaces as descriptors.
//
// Basis: network_namespaces(7), unshare(2).
#pragma once

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// A new network namespace with nothing but a loopback device that is down. It lives as long as the
// descriptor or a process in it. The calling thread stays where it is.
// Errors  kPermissionDenied  CAP_SYS_ADMIN is missing
Result<UniqueFd> MakeNetworkNamespace();

}  // namespace kata::sys
