// SPDX-License-Identifier: Apache-2.0
//
// sys/datagram_relay.h - two datagram sockets each, of which one says what the other one gets.
//
// Datagrams tell nobody of their end: a pair that is silent for two minutes is forgotten, and so is
// the oldest where there are too many.
// Lives on the event loop's thread.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <span>
#include <utility>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/socket_address.h"

namespace kata::sys {

class DatagramRelay {
 public:
  // Who speaks, to whom.
  using Key = std::pair<SocketAddress, SocketAddress>;
  // Of a pair, the side of who speaks: a connected socket of its own, or one that many come to.
  struct Near {
    UniqueFd own;
    int door = -1;  // bound, not ours; answers go out by it, from whom was spoken to
  };

  // `most`: of pairs, at least 1.
  DatagramRelay(EventLoop& loop, size_t most) : loop_(loop), most_(most) {}
  DatagramRelay(const DatagramRelay&) = delete;
  DatagramRelay& operator=(const DatagramRelay&) = delete;
  ~DatagramRelay();

  bool Has(const Key& key) const { return by_key_.contains(key); }
  // `far` is connected and does not wait.
  void Add(const Key& key, Near near, UniqueFd far);
  // To the far side. What there is no pair for, or no room, is lost.
  void Send(const Key& key, std::span<const char> data);
  // Pairs of this door, before it is closed.
  void ForgetDoor(int door);

 private:
  struct Pair {
    Key key;
    Near near;
    UniqueFd far;
    EventLoop::Clock::time_point used;
  };
  using Place = std::list<Pair>::iterator;

  void Use(Place pair);
  void OnNear(Place pair);
  void OnFar(Place pair);
  void Forget(Place pair);
  void ForgetSilent();

  EventLoop& loop_;
  const size_t most_;
  std::list<Pair> pairs_;  // the one that spoke last is the last
  std::map<Key, Place> by_key_;
  EventLoop::TimerId timer_{};
};

}  // namespace kata::sys
