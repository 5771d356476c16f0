// SPDX-License-Identifier: Apache-2.0
//
// host/network/udp_translator.h - a guest's datagrams as datagrams of another namespace.
//
// Each pair of addresses that speak gets two connected sockets: one of the outer namespace, and one
// of the inner with the address that the guest speaks to. What the guest says from a port that is
// the outer namespace's, too, is said there from that port (sys/port_doors.h).
// Lives on the event loop's thread.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "host/network/service_view.h"
#include "host/network/two_namespaces.h"
#include "sys/datagram_relay.h"
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
  // Says what comes from a port of the guest by the outer namespace's same one, if that is the
  // guest's; false where it is not.
  using SayByDoor = std::function<bool(const sys::SocketAddress& from, const sys::SocketAddress& to,
                                       std::span<const char> data)>;

  // `most`: of pairs, at least 1. `services` are those of the outer namespace, as they are then.
  UdpTranslator(sys::EventLoop& loop, const TwoNamespaces& namespaces, UdpSockets sockets,
                const Services& services, SayByDoor say_by_door, size_t most);
  UdpTranslator(const UdpTranslator&) = delete;
  UdpTranslator& operator=(const UdpTranslator&) = delete;
  ~UdpTranslator();

  Result<void> Start();

  // A UDP socket of the inner namespace that takes all, and tells where it was sent to.
  static Result<sys::UniqueFd> MakeInner(int family);
  // One that has the address `own`, whoever else has, and speaks with `guest`; of the calling
  // thread's namespace.
  static Result<sys::UniqueFd> ConnectInner(const sys::SocketAddress& own,
                                            const sys::SocketAddress& guest);

 private:
  void OnNew(int socket);
  Result<void> Make(const sys::DatagramRelay::Key& key, const sys::SocketAddress& to);

  sys::EventLoop& loop_;
  const TwoNamespaces& namespaces_;
  UdpSockets sockets_;
  const Services& services_;
  const SayByDoor say_by_door_;
  sys::DatagramRelay pairs_;  // near is the guest
};

}  // namespace kata::network
