// SPDX-License-Identifier: Apache-2.0
#include "host/shim/address.h"

#include <sha2.h>

#include <cstdint>
#include <iterator>

#include <fmt/format.h>

#include "sys/sockets.h"

namespace kata::shim {

std::string Sha256Hex(std::string_view text) {
  SHA2_CTX context;
  ::SHA256Init(&context);
  ::SHA256Update(&context, reinterpret_cast<const uint8_t*>(text.data()), text.size());
  uint8_t digest[SHA256_DIGEST_LENGTH];
  ::SHA256Final(digest, &context);
  std::string hex;
  for (const uint8_t byte : digest) fmt::format_to(std::back_inserter(hex), "{:02x}", byte);
  return hex;
}

Result<std::string> SocketPath(std::string_view socket_dir, std::string_view containerd_address,
                               std::string_view namespace_name, std::string_view sandbox_id) {
  std::string path = fmt::format(
      "{}/{}", socket_dir,
      Sha256Hex(fmt::format("{}/{}/{}", containerd_address, namespace_name, sandbox_id)));
  KATA_TRY_WITHIN("choose a shorter socket directory", sys::CheckUnixPathLength(path));
  return path;
}

}  // namespace kata::shim
