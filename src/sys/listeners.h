// SPDX-License-Identifier: Apache-2.0
//
// sys/listeners.h - which TCP sockets of a network namespace listen.
//
// Basis: proc(5), /proc/net/tcp: the ones that listen come first.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/socket_address.h"

namespace kata::sys {

// Of the text of /proc/net/tcp or tcp6, up to the first socket that does not listen.
std::vector<SocketAddress> ParseListeners(std::string_view table, int family);

class ListenerTable {
 public:
  // Of the calling thread's namespace, whoever asks later. IPv6 may be missing.
  static Result<ListenerTable> Open();

  // Sorted, each once; the first kMost of each family.
  std::vector<SocketAddress> Read() const;
  static constexpr size_t kMost = 512;

 private:
  ListenerTable(UniqueFd tcp, UniqueFd tcp6) : tcp_(std::move(tcp)), tcp6_(std::move(tcp6)) {}
  UniqueFd tcp_;
  UniqueFd tcp6_;
};

}  // namespace kata::sys
