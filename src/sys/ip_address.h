// SPDX-License-Identifier: Apache-2.0
//
// sys/ip_address.h - addresses of IPv4, IPv6 and Ethernet as values.
//
// Nothing here asks a resolver.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kata::sys {

struct IpAddress {
  int family = AF_INET;  // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};

  // From its 4 or 16 bytes in network order.
  static std::optional<IpAddress> FromBytes(std::string_view bytes);
  static std::optional<IpAddress> Parse(const std::string& text);
  std::string Text() const;
  // 4 or 16 of them.
  std::string_view Bytes() const { return {reinterpret_cast<const char*>(bytes.data()), size()}; }
  size_t size() const { return family == AF_INET ? 4 : 16; }
  // Of IPv6, fe80::/10.
  bool IsLinkLocal() const;
  // 127.0.0.0/8 or ::1.
  bool IsLoopback() const;
  // 0.0.0.0 or ::, which stands for every address.
  bool IsAny() const;
  // Where what listens at every address is reached from its own host.
  IpAddress LoopbackIfAny() const;
  // Of IPv6 that stands for one of IPv4 (::ffff:0:0/96), that; else itself.
  IpAddress Unmapped() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

// An address and the length of its network's part.
struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;

  // "10.0.0.0/8"; without a length it is the address alone.
  static std::optional<IpPrefix> Parse(const std::string& text);
  std::string Text() const;

  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

using MacAddress = std::array<uint8_t, 6>;

// "02:42:ac:11:00:02".
std::optional<MacAddress> ParseMac(std::string_view text);
std::string MacText(const MacAddress& mac);
// A random one that no manufacturer gave, for one station.
MacAddress RandomMac();

}  // namespace kata::sys
