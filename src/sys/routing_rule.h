// SPDX-License-Identifier: Apache-2.0
//
// sys/routing_rule.h - policy rules: which packets look into which routing table.
//
// ParseRule and the value know no sockets; the functions that take one work in its network
// namespace. Basis: ip-rule(8), kernel include/uapi/linux/fib_rules.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/ip_address.h"
#include "sys/netlink_message.h"
#include "sys/netlink_socket.h"

namespace kata::sys {

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct UserRange {
  uint32_t first = 0;
  uint32_t last = 0;

  friend bool operator==(const UserRange&, const UserRange&) = default;
};

// Rules of multicast routing, of VRFs, and what selects by tunnel or realm, have no place in it.
struct RoutingRule {
  int family = 0;         // AF_INET or AF_INET6
  uint32_t priority = 0;  // the lowest is looked at first
  uint8_t action = 0;     // FR_ACT_*
  uint32_t table = 0;     // of FR_ACT_TO_TBL
  uint32_t target = 0;    // of FR_ACT_GOTO: a priority
  uint8_t protocol = 0;   // RTPROT_*: who made it
  // What a packet must have; absent, empty or 0: anything.
  std::optional<IpPrefix> from;
  std::optional<IpPrefix> to;
  std::string in;  // names of interfaces, which need not exist
  std::string out;
  uint8_t tos = 0;
  uint32_t mark = 0;
  uint32_t mark_mask = 0;
  uint8_t ip_protocol = 0;  // IPPROTO_*
  std::optional<PortRange> source_ports;
  std::optional<PortRange> destination_ports;
  std::optional<UserRange> users;
  bool inverted = false;
  // A route of the table counts only with a longer prefix, or not through a link of the group.
  std::optional<uint32_t> suppressed_length;
  std::optional<uint32_t> suppressed_group;

  friend bool operator==(const RoutingRule&, const RoutingRule&) = default;
};

// Absent where the message is of another kind, broken, or a rule that RoutingRule cannot express.
std::optional<RoutingRule> ParseRule(const NetlinkMessage& message);

// Of both families, in the order in which they are looked at.
Result<std::vector<RoutingRule>> ListRules(NetlinkSocket& socket);
// One that is there already is success.
Result<void> AddRule(NetlinkSocket& socket, const RoutingRule& rule);
// Errors  kNotFound
Result<void> DeleteRule(NetlinkSocket& socket, const RoutingRule& rule);

}  // namespace kata::sys
