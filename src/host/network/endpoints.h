// SPDX-License-Identifier: Apache-2.0
//
// host/network/endpoints.h - what a network namespace gives to the sandbox that lives in it.
//
// Basis: rtnetlink(7); Kata Containers' endpoint kinds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/netlink_socket.h"
#include "sys/routing_rule.h"
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
  // Of endpoints, or of none, in the main table and in those that rules point to.
  std::vector<sys::Route> routes;
  std::vector<sys::RoutingRule> rules;  // the kernel's own included
  std::vector<std::string> names;       // of all interfaces, ours included
  std::vector<int> links;               // their indices
  std::optional<sys::Link> loopback;
  // Interfaces that are left alone, with the reason, in words for the log.
  std::vector<std::string> notes;
};

// Whether frames of the endpoint can be led to a machine at all.
// Errors  kFailedPrecondition  says what to change
Result<void> CheckEndpoint(const Endpoint& endpoint);

// What a namespace has.
struct NamespaceContents {
  std::vector<sys::Link> links;
  std::vector<sys::LinkAddress> addresses;
  std::vector<sys::Route> routes;
  std::vector<sys::RoutingRule> rules;
  std::vector<sys::Neighbor> neighbors;
};

// Which of these are endpoints: Ethernet interfaces that are up, but those that are ours or part of
// another one. Pure.
NamespaceView ViewOf(const NamespaceContents& contents);

Result<NamespaceContents> ListContents(sys::NetlinkSocket& socket);
// ViewOf the namespace of `socket`, as it is now.
Result<NamespaceView> Discover(sys::NetlinkSocket& socket);

}  // namespace kata::network
