// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <utility>

#include "sys/files.h"

namespace kata::sys {
namespace {

constexpr std::string_view kListens = "0A";
constexpr int kHex = 16;
// Longer than any line of either table.
constexpr size_t kLine = 256;
constexpr size_t kWord = 8;  // of four bytes

template <class Number>
std::optional<Number> Hex(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, kHex);
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
    const auto word = Hex<uint32_t>(text.substr(at, kWord));
    if (!word) return std::nullopt;
    std::memcpy(address.address.bytes.data() + at / 2, &*word, sizeof *word);
  }
  const auto port = Hex<uint16_t>(text.substr(digits + 1));
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

std::string ReadTable(int fd) {
  std::string text(ListenerTable::kMost * kLine, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count =
        ::pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (count <= 0) break;
    size += static_cast<size_t>(count);
    // The others are many where there are many connections.
    const size_t line = text.rfind('\n', size - 1);
    const size_t before =
        line == std::string::npos || line == 0 ? std::string::npos : text.rfind('\n', line - 1);
    if (before != std::string::npos &&
        Word(std::string_view(text).substr(before + 1, line - before - 1), 3) != kListens) {
      break;
    }
  }
  text.resize(size);
  return text;
}

}  // namespace

std::vector<SocketAddress> ParseListeners(std::string_view table, int family) {
  std::vector<SocketAddress> listeners;
  size_t begin = table.find('\n');
  while (begin != std::string_view::npos && begin + 1 < table.size()) {
    const size_t end = table.find('\n', begin + 1);
    const std::string_view line = table.substr(begin + 1, end - begin - 1);
    begin = end;
    if (Word(line, 3) != kListens) break;
    if (auto address = ReadAddress(Word(line, 1), family)) listeners.push_back(*address);
  }
  return listeners;
}

Result<ListenerTable> ListenerTable::Open() {
  UniqueFd tcp = KATA_TRY(sys::Open("/proc/thread-self/net/tcp", O_RDONLY));
  auto tcp6 = sys::Open("/proc/thread-self/net/tcp6", O_RDONLY);
  return ListenerTable(std::move(tcp), tcp6 ? *std::move(tcp6) : UniqueFd());
}

std::vector<SocketAddress> ListenerTable::Read() const {
  std::vector<SocketAddress> all = ParseListeners(ReadTable(tcp_.get()), AF_INET);
  if (tcp6_.valid()) {
    const auto more = ParseListeners(ReadTable(tcp6_.get()), AF_INET6);
    all.insert(all.end(), more.begin(), more.end());
  }
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  return all;
}

}  // namespace kata::sys
