// SPDX-License-Identifier: Apache-2.0
#include "host/network/two_namespaces.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace kata::network {

bool IsReachable(const sys::IpAddress& address) {
  const auto& bytes = address.bytes;
  if (address.family == AF_INET) {
    constexpr uint8_t kLoopbackNet = 127;
    constexpr uint8_t kFirstMulticast = 224;  // and all above, broadcast included
    return bytes[0] != 0 && bytes[0] != kLoopbackNet && bytes[0] < kFirstMulticast;
  }
  constexpr std::array<uint8_t, 10> kZeros{};
  constexpr uint8_t kMulticast = 0xff;
  // The unspecified one, the loopback, and IPv4 in the clothes of IPv6.
  const bool special = std::equal(kZeros.begin(), kZeros.end(), bytes.begin());
  return !special && bytes[0] != kMulticast && !address.IsLinkLocal();
}

}  // namespace kata::network
