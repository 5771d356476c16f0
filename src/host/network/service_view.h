// SPDX-License-Identifier: Apache-2.0
//
// host/network/service_view.h - which ports a guest and a namespace that it uses by sockets show to
// each other. Pure.
#pragma once

#include <vector>

#include "base/result.h"
#include "egress/policy.h"
#include "sys/loopback_stand_ins.h"

namespace kata::network {

// What is to be listened at for these: one for every address of IPv6 is there for those of IPv4,
// too.
std::vector<sys::Listener> DoorsFor(std::vector<sys::Listener> listeners);

// Of the sockets that wait in the namespace, those that a guest is shown: not those of groups and
// of one link.
std::vector<sys::Listener> ServicesOf(const std::vector<sys::Listener>& listeners);

// What a guest reaches of the namespace's loopback, and by which ports of its stand-in.
struct Services {
  sys::StandInPorts ports;
  egress::Policy egress;  // of what else the guest sends its tap's hooks judge (EgressGuard)
};
// Where a socket of the namespace has to go for what the guest wants to reach.
// Errors  kPermissionDenied  nothing that a guest reaches
Result<sys::SocketAddress> OuterAddress(sys::Protocol protocol, const sys::SocketAddress& wanted,
                                        const Services& services);

// Between whom there is a connection in the guest for one that has come from `peer` to `local`; the
// guest's listener may have a port of its stand-in (sys::ReachedListener).
struct GuestEnds {
  sys::SocketAddress from;
  sys::SocketAddress to;
};
GuestEnds EndsInGuest(const sys::SocketAddress& peer, const sys::SocketAddress& local,
                      uint16_t through);

}  // namespace kata::network
