// SPDX-License-Identifier: Apache-2.0
#include "host/shim/address.h"

#include <fmt/format.h>

#include "base/sha256.h"
#include "sys/sockets.h"

namespace kata::shim {

Result<std::string> SocketPath(std::string_view socket_dir, std::string_view containerd_address,
                               std::string_view namespace_name, std::string_view sandbox_id) {
  std::string path = fmt::format(
      "{}/{}", socket_dir,
      Sha256Hex(fmt::format("{}/{}/{}", containerd_address, namespace_name, sandbox_id)));
  KATA_TRY_WITHIN("choose a shorter socket directory", sys::CheckUnixPathLength(path));
  return path;
}

}  // namespace kata::shim
