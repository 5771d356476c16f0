// SPDX-License-Identifier: Apache-2.0
#include "host/network/two_namespaces.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include <fmt/format.h>

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

Result<sys::SocketAddress> OuterAddress(const sys::SocketAddress& wanted, bool loopback) {
  const bool v4 = wanted.address.family == AF_INET;
  if (wanted.address == *sys::IpAddress::Parse(v4 ? kLoopback4 : kLoopback6)) {
    if (loopback) {
      return sys::SocketAddress{.address = *sys::IpAddress::Parse(v4 ? "127.0.0.1" : "::1"),
                                .port = wanted.port};
    }
  } else if (IsReachable(wanted.address)) {
    return wanted;
  }
  return Fail(Code::kPermissionDenied,
              fmt::format("{} is nothing that a guest reaches", wanted.Text()));
}

}  // namespace kata::network
