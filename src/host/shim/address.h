// SPDX-License-Identifier: Apache-2.0
//
// host/shim/address.h - where a sandbox's shim listens.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::shim {

// In front of a socket\'s path, in addresses that containerd reads and writes.
inline constexpr std::string_view kUnixScheme = "unix://";
inline constexpr char kDefaultSocketDir[] = "/run/containerd/s";

// The path of the socket of the shim of `sandbox_id`, the same for every container of a pod: in
// `socket_dir`, named after the hash of "<containerd address>/<namespace>/<sandbox id>".
//
// Errors  kInvalidArgument  containerd could not connect to a path of that length
Result<std::string> SocketPath(std::string_view socket_dir, std::string_view containerd_address,
                               std::string_view namespace_name, std::string_view sandbox_id);

}  // namespace kata::shim
