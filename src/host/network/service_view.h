// SPDX-License-Identifier: Apache-2.0
//
// host/network/service_view.h - which ports a guest and a namespace that it uses by sockets show to
// each other. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "sys/socket_address.h"

namespace kata::network {

// What is to be listened at for these: one for every address of IPv6 is there for those of IPv4,
// too.
std::vector<sys::SocketAddress> DoorsFor(std::vector<sys::SocketAddress> listeners);

// Of the sockets that listen in the namespace, those that its loopback reaches.
std::vector<sys::SocketAddress> ServicesOf(const std::vector<sys::SocketAddress>& listeners);

// The address of the loopback by which the service at `port` is reached: 127.0.0.1 unless it
// listens at another one only.
sys::SocketAddress LoopbackOf(const std::vector<sys::SocketAddress>& services, uint16_t port);

// Between whom a connection is made in the guest for one that has come from `peer` to `local`.
struct GuestEnds {
  sys::SocketAddress from;
  sys::SocketAddress to;
};
GuestEnds EndsInGuest(const sys::SocketAddress& peer, const sys::SocketAddress& local);

}  // namespace kata::network
