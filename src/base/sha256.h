// SPDX-License-Identifier: Apache-2.0
//
// base/sha256.h - SHA-256.
#pragma once

#include <sha2.h>

#include <string>
#include <string_view>

namespace kata {

// Takes text in parts, then gives the digest of all of it, once.
class Sha256 {
 public:
  Sha256() { ::SHA256Init(&context_); }
  void Add(std::string_view text);
  // Lower-case hexadecimal digits.
  std::string Finish();

 private:
  SHA2_CTX context_;
};

std::string Sha256Hex(std::string_view text);

}  // namespace kata
