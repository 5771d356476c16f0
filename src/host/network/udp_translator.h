// SPDX-License-Identifier: Apache-2.0
//
// host/network/udp_translator.h - a guest's datagrams as datagrams of another namespace.
//
// Each pair of addresses that speak gets two connected sockets: one of the outer namespace, and one
// of the inner with the address that the guest speaks to. A pair that is silent for a while is
// forgotten, and so is the oldest where there are too many.
// Lives on the event loop's thread.
#pragma once

#include <list>
#include <map>
#include <utility>

#include "base/result.h"
#include "host/network/two_namespaces.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/socket_address.h"

namespace kata::network {

struct UdpSockets {
  sys::UniqueFd socket4;  // of the inner namespace: get what has no pair yet
  sys::UniqueFd socket6;  // may be missing
};

class UdpTranslator {
 public:
  // `most`: of pairs, at least 1.
  UdpTranslator(sys::EventLoop& loop, const TwoNamespaces& namespaces, UdpSockets sockets,
                bool loopback, size_t most);
  UdpTranslator(const UdpTranslator&) = delete;
  UdpTranslator& operator=(const UdpTranslator&) = delete;
  ~UdpTranslator();

  Result<void> Start();

  // Sockets of a UDP socket of the inner namespace that takes all, with IP_RECVORIGDSTADDR.
  static Result<sys::UniqueFd> MakeInner(int family);

 private:
  using Key = std::pair<sys::SocketAddress, sys::SocketAddress>;  // the guest's, the wanted one
  struct Pair {
    Key key;
    sys::UniqueFd outer;
    sys::UniqueFd inner;
    sys::EventLoop::Clock::time_point used;
  };
  using Place = std::list<Pair>::iterator;

  void OnNew(int socket);
  Result<Place> Make(const Key& key);
  // Moves what has come at one of them to the other one.
  void Move(Place pair, int from, int to);
  void Forget(Place pair);
  void ForgetSilent();

  sys::EventLoop& loop_;
  const TwoNamespaces& namespaces_;
  UdpSockets sockets_;
  const bool loopback_;
  const size_t most_;
  std::list<Pair> pairs_;  // the one that spoke last is the last
  std::map<Key, Place> by_key_;
  sys::EventLoop::TimerId timer_{};
};

}  // namespace kata::network
