// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <netinet/tcp.h>

#include "sys/files.h"
#include "sys/socket_table.h"

namespace kata::sys {
namespace {

// More than the head and what most guests listen at.
constexpr size_t kFirstRead = 4096;
// Longer than any line of a table.
constexpr size_t kLine = 256;

bool Waits(const SocketEntry& entry, Protocol protocol) {
  return entry.state == (protocol == Protocol::kTcp ? TCP_LISTEN : TCP_CLOSE);
}

// The others come behind, and are many where there are many connections.
bool EndsWithOther(std::string_view text, int family) {
  const size_t end = text.rfind('\n');
  if (end == std::string_view::npos || end == 0) return false;
  const size_t before = text.rfind('\n', end - 1);
  if (before == std::string_view::npos) return false;
  const auto last = ParseSocketEntry(text.substr(before + 1, end - before - 1), family);
  return last && !Waits(*last, Protocol::kTcp);
}

std::string ReadTable(int fd, Protocol protocol, int family) {
  std::string text;
  size_t size = 0;
  while (size < ListenerTable::kMost * kLine &&
         (protocol == Protocol::kUdp || !EndsWithOther({text.data(), size}, family))) {
    if (text.size() - size < kFirstRead) text.resize(text.size() + kFirstRead);
    const ssize_t count =
        ::pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (count <= 0) break;
    size += static_cast<size_t>(count);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::string Listener::Text() const {
  return fmt::format("{} {}", protocol == Protocol::kTcp ? "tcp" : "udp", at.Text());
}

std::vector<Listener> ParseListeners(std::string_view table, Protocol protocol, int family) {
  std::vector<Listener> listeners;
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    const auto entry = ParseSocketEntry(table.substr(0, end), family);
    if (entry && Waits(*entry, protocol)) {
      listeners.push_back({.protocol = protocol, .at = entry->own});
    } else if (entry && protocol == Protocol::kTcp) {
      break;
    }
    table.remove_prefix(std::min(end + 1, table.size()));
  }
  return listeners;
}

Result<ListenerTable> ListenerTable::Open() {
  constexpr struct {
    const char* path;
    Protocol protocol;
    int family;
  } kTables[] = {{"/proc/thread-self/net/tcp", Protocol::kTcp, AF_INET},
                 {"/proc/thread-self/net/tcp6", Protocol::kTcp, AF_INET6},
                 {"/proc/thread-self/net/udp", Protocol::kUdp, AF_INET},
                 {"/proc/thread-self/net/udp6", Protocol::kUdp, AF_INET6}};
  std::vector<Table> tables;
  for (const auto& [path, protocol, family] : kTables) {
    auto fd = sys::Open(path, O_RDONLY);
    if (!fd && family == AF_INET) return std::unexpected(std::move(fd).error());
    if (fd) tables.push_back({*std::move(fd), protocol, family});
  }
  Ports chosen{};
  std::istringstream range(KATA_TRY(sys::ReadFile("/proc/sys/net/ipv4/ip_local_port_range")));
  range >> chosen.first >> chosen.last;
  return ListenerTable(std::move(tables), chosen);
}

std::vector<Listener> ListenerTable::Read(Clock::time_point now) {
  std::vector<Listener> all;
  for (const Table& table : tables_) {
    const auto more = ParseListeners(ReadTable(table.fd.get(), table.protocol, table.family),
                                     table.protocol, table.family);
    all.insert(all.end(), more.begin(), more.end());
  }
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  std::map<SocketAddress, Clock::time_point> seen;
  std::erase_if(all, [&](const Listener& each) {
    if (each.protocol != Protocol::kUdp || each.at.port < chosen_.first ||
        each.at.port > chosen_.last) {
      return false;
    }
    const auto before = seen_.find(each.at);
    const auto first = before == seen_.end() ? now : before->second;
    seen.emplace(each.at, first);
    return now - first < kLasting;
  });
  seen_ = std::move(seen);
  return all;
}

}  // namespace kata::sys
