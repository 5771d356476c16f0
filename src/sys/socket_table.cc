// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_table.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

namespace kata::sys {
namespace {

constexpr int kHex = 16;
constexpr size_t kWord = 8;  // of four bytes
// What stands where.
constexpr int kOwnAt = 1;
constexpr int kStateAt = 3;
constexpr int kInodeAt = 9;

template <class Number>
std::optional<Number> ReadNumber(std::string_view text, int base) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0100007F:0050": words as the machine has them.
std::optional<SocketAddress> ReadAddress(std::string_view text, int family) {
  SocketAddress address;
  address.address.family = family;
  const size_t digits = 2 * address.address.size();
  if (text.size() != digits + 5 || text[digits] != ':') return std::nullopt;
  for (size_t at = 0; at < digits; at += kWord) {
    const auto word = ReadNumber<uint32_t>(text.substr(at, kWord), kHex);
    if (!word) return std::nullopt;
    std::memcpy(address.address.bytes.data() + at / 2, &*word, sizeof *word);
  }
  const auto port = ReadNumber<uint16_t>(text.substr(digits + 1), kHex);
  if (!port) return std::nullopt;
  address.port = *port;
  return address;
}

// The word with this number.
std::string_view Word(std::string_view line, int number) {
  for (;; --number) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const size_t end = std::min(line.find(' '), line.size());
    if (number == 0) return line.substr(0, end);
    line.remove_prefix(end);
    if (line.empty()) return {};
  }
}

}  // namespace

std::optional<SocketEntry> ParseSocketEntry(std::string_view line, int family) {
  const auto own = ReadAddress(Word(line, kOwnAt), family);
  const auto state = ReadNumber<uint8_t>(Word(line, kStateAt), kHex);
  if (!own || !state) return std::nullopt;
  return SocketEntry{.own = *own,
                     .state = *state,
                     .inode = ReadNumber<ino_t>(Word(line, kInodeAt), 10).value_or(0)};
}

}  // namespace kata::sys
