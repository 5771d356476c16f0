// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/route_tables.h - the routes and policy rules of the containers' namespace.
//
// What containers make themselves in tables that the host never named, and their own rules, stay.
// Basis: Kata Containers agent protocol; ip-route(8), ip-rule(8).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "base/result.h"
#include "proto/agent.pb.h"
#include "routes/route_messages.h"
#include "sys/netlink_socket.h"
#include "sys/routing_rule.h"
#include "sys/rtnetlink.h"

namespace kata::guest {

class RouteTables {
 public:
  // Makes the tables what `routes` says, in the namespace of `socket`: the main one, and those that
  // it names or that the request before named. The routes that come with addresses stay unless
  // `routes` is complete; rules are changed only if it is.
  // Errors  kNotFound         a route names an interface that is not there
  //         kInvalidArgument
  Result<void> Update(sys::NetlinkSocket& socket, const agent::Routes& routes);

  // What there is now.
  static Result<agent::Routes> List(sys::NetlinkSocket& socket);

 private:
  Result<void> RemoveRules(sys::NetlinkSocket& socket, const std::vector<sys::RoutingRule>& wanted);
  Result<void> AddRules(sys::NetlinkSocket& socket, const std::vector<sys::RoutingRule>& wanted);
  Result<void> UpdateRoutes(sys::NetlinkSocket& socket, const std::vector<sys::Route>& wanted,
                            bool complete);

  std::set<uint32_t> tables_;  // other than the main one, that the last request named
  // Rules that the host may take away: those that the kernel makes in every namespace, and the
  // host's own. Absent until they are asked for.
  std::optional<std::vector<sys::RoutingRule>> rules_;
};

}  // namespace kata::guest
