// SPDX-License-Identifier: Apache-2.0
//
// sys/listeners.h - which sockets of a network namespace wait for others.
//
// Basis: proc(5), /proc/net/tcp, in which those that listen come first, and /proc/net/udp.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/socket_address.h"

namespace kata::sys {

enum class Protocol : uint8_t { kTcp, kUdp };

// A TCP socket that listens, or a UDP socket that takes what comes from anybody.
struct Listener {
  Protocol protocol = Protocol::kTcp;
  SocketAddress at;

  std::string Text() const;  // "tcp 10.0.0.1:80", "udp [::]:53"

  friend auto operator<=>(const Listener&, const Listener&) = default;
};

// Of the text of one of the kernel's tables; of TCP up to the first socket that does not listen.
std::vector<Listener> ParseListeners(std::string_view table, Protocol protocol, int family);

// Not safe from several threads.
class ListenerTable {
 public:
  using Clock = std::chrono::steady_clock;

  // Of the calling thread's namespace, whoever asks later. IPv6 may be missing.
  static Result<ListenerTable> Open();

  // Sorted, each once; the first kMost of each protocol and family. A UDP socket whose port the
  // kernel may have chosen is one that asks, and not among them, until it has been there for
  // kLasting.
  std::vector<Listener> Read(Clock::time_point now = Clock::now());
  static constexpr size_t kMost = 512;
  static constexpr auto kLasting = std::chrono::seconds(1);

 private:
  struct Table {
    UniqueFd fd;
    Protocol protocol;
    int family;
  };
  struct Ports {
    uint16_t first;
    uint16_t last;
  };
  explicit ListenerTable(std::vector<Table> tables, Ports chosen)
      : tables_(std::move(tables)), chosen_(chosen) {}

  std::vector<Table> tables_;
  Ports chosen_;                                     // by the kernel
  std::map<SocketAddress, Clock::time_point> seen_;  // first, of UDP sockets with such ports
};

}  // namespace kata::sys
