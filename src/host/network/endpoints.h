// SPDX-License-Identifier: Apache-2.0
//
// host/network/endpoints.h - what a network namespace gives to the sandbox that lives in it.
//
// Basis: rtnetlink(7); Kata Containers' endpoint kinds.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/netlink_socket.h"
#include "sys/rtnetlink.h"

namespace kata::network {

// The names of the interfaces that connect an endpoint with a machine: "tap0_kata" and upwards.
std::string TapName(int number);
bool IsTapName(const std::string& name);

// An interface that somebody made for the sandbox.
struct Endpoint {
  sys::Link link;
  std::vector<sys::LinkAddress> addresses;
  std::vector<sys::Neighbor> neighbors;  // that somebody entered
};

struct NamespaceView {
  std::vector<Endpoint> endpoints;  // in the order of the kernel's numbers
  std::vector<sys::Route> routes;   // of endpoints, or of none
  std::vector<std::string> names;   // of all interfaces, ours included
  std::vector<int> links;           // their indices
  // Interfaces that are left alone, with the reason, in words for the log.
  std::vector<std::string> notes;
};

// Which of these are endpoints: Ethernet interfaces that are up, but those that are ours or part of
// another one. Pure.
NamespaceView ViewOf(const std::vector<sys::Link>& links,
                     const std::vector<sys::LinkAddress>& addresses,
                     const std::vector<sys::Route>& routes,
                     const std::vector<sys::Neighbor>& neighbors);

// The same of the namespace of `socket`, as it is now.
Result<NamespaceView> Discover(sys::NetlinkSocket& socket);

}  // namespace kata::network
