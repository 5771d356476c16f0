// SPDX-License-Identifier: Apache-2.0
#include "base/sha256.h"

#include <cstdint>
#include <iterator>

#include <fmt/format.h>

namespace kata {

void Sha256::Add(std::string_view text) {
  ::SHA256Update(&context_, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

std::string Sha256::Finish() {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  ::SHA256Final(digest, &context_);
  std::string hex;
  for (const uint8_t byte : digest) fmt::format_to(std::back_inserter(hex), "{:02x}", byte);
  return hex;
}

std::string Sha256Hex(std::string_view text) {
  Sha256 hash;
  hash.Add(text);
  return hash.Finish();
}

}  // namespace kata
