// SPDX-License-Identifier: Apache-2.0
//
// sys/testing/hex.h - netlink messages that a kernel sent, for tests.
#pragma once

#include <string>
#include <string_view>

#include "sys/netlink_message.h"

namespace kata::sys::testing {

// Lower-case digits.
inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return bytes;
}

// The first message in `bytes`, which must outlive it.
inline NetlinkMessage First(std::string_view bytes) { return **TakeMessage(&bytes); }

}  // namespace kata::sys::testing
