// SPDX-License-Identifier: Apache-2.0
#include "sys/ip_address.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::sys {

std::optional<IpAddress> IpAddress::FromBytes(std::string_view bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  IpAddress address;
  address.family = bytes.size() == 4 ? AF_INET : AF_INET6;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

std::optional<IpAddress> IpAddress::Parse(const std::string& text) {
  IpAddress address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (::inet_pton(address.family, text.c_str(), address.bytes.data()) != 1) return std::nullopt;
  return address;
}

std::string IpAddress::Text() const {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family, bytes.data(), text, sizeof text);
  return text;
}

bool IpAddress::IsLinkLocal() const {
  return family == AF_INET6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool IpAddress::IsLoopback() const {
  constexpr uint8_t kLoopbackNetwork = 127;
  if (family == AF_INET) return bytes[0] == kLoopbackNetwork;
  constexpr std::array<uint8_t, 16> kOwn{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return bytes == kOwn;
}

bool IpAddress::IsAny() const { return bytes == decltype(bytes){}; }

IpAddress IpAddress::LoopbackIfAny() const {
  return IsAny() ? *Parse(family == AF_INET ? "127.0.0.1" : "::1") : *this;
}

IpAddress IpAddress::Unmapped() const {
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (family == AF_INET || !Bytes().starts_with(kMapped)) return *this;
  return *FromBytes(Bytes().substr(kMapped.size()));
}

std::optional<IpPrefix> IpPrefix::Parse(const std::string& text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto whole = static_cast<uint8_t>(address->size() * 8);
  if (slash == std::string::npos) return IpPrefix{*address, whole};
  uint8_t length = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + slash + 1, end, length);
  if (error != std::errc() || parsed != end || length > whole) return std::nullopt;
  return IpPrefix{*address, length};
}

std::string IpPrefix::Text() const { return fmt::format("{}/{}", address.Text(), length); }

std::optional<MacAddress> ParseMac(std::string_view text) {
  constexpr size_t kLength = 17;
  if (text.size() != kLength) return std::nullopt;
  MacAddress mac{};
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* begin = text.data() + i * 3;
    const auto [end, error] = std::from_chars(begin, begin + 2, mac[i], 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
    if (i + 1 < mac.size() && *end != ':') return std::nullopt;
  }
  return mac;
}

std::string MacText(const MacAddress& mac) { return fmt::format("{:02x}", fmt::join(mac, ":")); }

MacAddress RandomMac() {
  MacAddress mac{};
  // A few bytes come at once, without a failure, once the kernel has booted.
  [[maybe_unused]] const ssize_t size = ::getrandom(mac.data(), mac.size(), 0);
  mac[0] = static_cast<uint8_t>((mac[0] & 0xfe) | 0x02);
  return mac;
}

}  // namespace kata::sys
