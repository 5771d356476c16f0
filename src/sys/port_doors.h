// SPDX-License-Identifier: Apache-2.0
//
// sys/port_doors.h - listening TCP sockets that lead to others elsewhere.
//
// Lives on the event loop's thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <set>
#include <vector>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/socket_address.h"
#include "sys/stream_relay.h"

namespace kata::sys {

class PortDoors {
 public:
  struct Ways {
    // A bound socket of the namespace in which is to be listened.
    std::function<Result<UniqueFd>(const SocketAddress& at)> bind;
    // Where what has come from `peer` to `local` leads; the connection may not be there yet.
    std::function<Result<UniqueFd>(const SocketAddress& peer, const SocketAddress& local)> connect;
    // Once for each that cannot be opened, until it is no longer wanted.
    std::function<void(const SocketAddress& at, const Error& error)> failed;
  };

  // More connections than `most` at a time are ended at once.
  PortDoors(EventLoop& loop, Ways ways, size_t most)
      : loop_(loop), ways_(std::move(ways)), most_(most) {}
  PortDoors(const PortDoors&) = delete;
  PortDoors& operator=(const PortDoors&) = delete;
  ~PortDoors() { Keep({}); }

  // Opens and shuts what differs. Connections stay.
  void Keep(const std::vector<SocketAddress>& wanted);
  // What is wanted and could not be opened.
  void TryAgain();
  bool Has(const SocketAddress& at) const { return doors_.contains(at); }

 private:
  Result<UniqueFd> Open(const SocketAddress& at);
  void OpenDoor(const SocketAddress& at);
  void OnCaller(int listener);

  EventLoop& loop_;
  const Ways ways_;
  const size_t most_;
  std::map<SocketAddress, UniqueFd> doors_;
  std::set<SocketAddress> failed_;
  std::list<StreamRelay> relays_;
};

// Binds `socket` to be listened at, also where an earlier one has just been closed.
Result<void> BindToListen(int socket, const SocketAddress& at);

}  // namespace kata::sys
