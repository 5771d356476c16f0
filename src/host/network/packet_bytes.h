// SPDX-License-Identifier: Apache-2.0
//
// host/network/packet_bytes.h - numbers and checksums in packets: the most significant byte first.
//
// Nothing here looks whether there are as many bytes.
// Basis: RFC 1071.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kata::network {

inline uint8_t ByteAt(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
inline uint16_t WordAt(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1));
}
inline uint32_t LongAt(std::string_view bytes, size_t at) {
  return static_cast<uint32_t>(WordAt(bytes, at)) << 16 | WordAt(bytes, at + 2);
}
inline void SetWord(std::string* bytes, size_t at, uint16_t value) {
  (*bytes)[at] = static_cast<char>(value >> 8);
  (*bytes)[at + 1] = static_cast<char>(value);
}

// `sum` with that of these bytes, which end with a zero where they are odd.
inline uint32_t AddUp(std::string_view bytes, uint32_t sum = 0) {
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) sum += WordAt(bytes, at);
  if (bytes.size() % 2 != 0) sum += static_cast<uint32_t>(ByteAt(bytes, bytes.size() - 1)) << 8;
  return sum;
}
inline uint16_t ChecksumOf(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace kata::network
