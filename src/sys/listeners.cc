// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <netinet/tcp.h>

#include "sys/files.h"
#include "sys/tcp_table.h"

namespace kata::sys {
namespace {

// More than the head and what most guests listen at.
constexpr size_t kFirstRead = 4096;
// Longer than any line of either table.
constexpr size_t kLine = 256;

// The others come behind, and are many where there are many connections.
bool EndsWithOther(std::string_view text, int family) {
  const size_t end = text.rfind('\n');
  if (end == std::string_view::npos || end == 0) return false;
  const size_t before = text.rfind('\n', end - 1);
  if (before == std::string_view::npos) return false;
  const auto last = ParseTcpEntry(text.substr(before + 1, end - before - 1), family);
  return last && last->state != TCP_LISTEN;
}

std::string ReadTable(int fd, int family) {
  std::string text;
  size_t size = 0;
  while (size < ListenerTable::kMost * kLine && !EndsWithOther({text.data(), size}, family)) {
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

std::vector<SocketAddress> ParseListeners(std::string_view table, int family) {
  std::vector<SocketAddress> listeners;
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    const auto entry = ParseTcpEntry(table.substr(0, end), family);
    if (entry && entry->state != TCP_LISTEN) break;
    if (entry) listeners.push_back(entry->own);
    table.remove_prefix(std::min(end + 1, table.size()));
  }
  return listeners;
}

Result<ListenerTable> ListenerTable::Open() {
  UniqueFd tcp = KATA_TRY(sys::Open("/proc/thread-self/net/tcp", O_RDONLY));
  auto tcp6 = sys::Open("/proc/thread-self/net/tcp6", O_RDONLY);
  return ListenerTable(std::move(tcp), tcp6 ? *std::move(tcp6) : UniqueFd());
}

std::vector<SocketAddress> ListenerTable::Read() const {
  std::vector<SocketAddress> all = ParseListeners(ReadTable(tcp_.get(), AF_INET), AF_INET);
  if (tcp6_.valid()) {
    const auto more = ParseListeners(ReadTable(tcp6_.get(), AF_INET6), AF_INET6);
    all.insert(all.end(), more.begin(), more.end());
  }
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  return all;
}

}  // namespace kata::sys
