// SPDX-License-Identifier: Apache-2.0
//
// sys/port_doors.h - listening sockets that lead to others elsewhere.
//
// Lives on the event loop's thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <set>
#include <vector>

#include "base/result.h"
#include "sys/datagram_relay.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/listeners.h"
#include "sys/stream_relay.h"

namespace kata::sys {

class PortDoors {
 public:
  struct Ways {
    // A bound socket of the namespace in which is to be listened.
    std::function<Result<UniqueFd>(const Listener& at)> bind;
    // Where what has come to the door `at` from `peer` to `local` leads: a connected socket, whose
    // connection may not be there yet.
    std::function<Result<UniqueFd>(const Listener& at, const SocketAddress& peer,
                                   const SocketAddress& local)>
        connect;
    // Once for each that cannot be opened, until it is no longer wanted.
    std::function<void(const Listener& at, const Error& error)> failed;
  };

  // More connections than `most` at a time are ended at once; of datagrams' senders the oldest are
  // forgotten.
  PortDoors(EventLoop& loop, Ways ways, size_t most)
      : loop_(loop), ways_(std::move(ways)), most_(most), datagrams_(loop, most) {}
  PortDoors(const PortDoors&) = delete;
  PortDoors& operator=(const PortDoors&) = delete;
  ~PortDoors() { Keep({}); }

  // Opens and shuts what differs. Connections stay.
  void Keep(const std::vector<Listener>& wanted);
  // What is wanted and could not be opened.
  void TryAgain();
  bool Has(const Listener& at) const { return doors_.contains(at); }
  // What is wanted, but has no door.
  const std::set<Listener>& failed() const { return failed_; }

  // Says it to `peer` by the door that takes what comes to `local`, as who is behind that door
  // would. False where there is no such door.
  bool SendFrom(const SocketAddress& local, const SocketAddress& peer, std::span<const char> data);

 private:
  Result<UniqueFd> Open(const Listener& at);
  void OpenDoor(const Listener& at);
  void OnCaller(const Listener& at, int door);
  void OnDatagrams(const Listener& at, int door);
  // Whether there is a pair for it by then.
  bool MakePair(const Listener& at, int door, const DatagramRelay::Key& key);

  EventLoop& loop_;
  const Ways ways_;
  const size_t most_;
  std::map<Listener, UniqueFd> doors_;
  std::set<Listener> failed_;
  std::list<StreamRelay> relays_;
  DatagramRelay datagrams_;
};

// Binds `socket` to be listened at, also where an earlier one has just been closed.
Result<void> BindToListen(int socket, const SocketAddress& at);
// A socket that is bound there, in the calling thread's namespace, and tells all that a door needs.
Result<UniqueFd> BindDoor(const Listener& at);

}  // namespace kata::sys
