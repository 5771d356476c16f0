// SPDX-License-Identifier: Apache-2.0
//
// egress/policy.h - where a sandbox may send to.
//
// Rules name destinations: an address or a network, a protocol, ports. What a rule of `allow` names
// is allowed, else what one of `deny` names is denied, else it is allowed (as hosts.allow and
// hosts.deny, hosts_access(5)). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/ip_address.h"

namespace kata::egress {

struct Ports {
  uint16_t low = 0;
  uint16_t high = 0;  // included

  friend bool operator==(const Ports&, const Ports&) = default;
};

struct Rule {
  std::optional<sys::IpPrefix> network;  // absent: every address; bits behind its length are zero
  // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, or IPPROTO_ICMP, which stands for that of IPv6, too.
  // Absent: every one.
  std::optional<uint8_t> protocol;
  std::optional<Ports> ports;  // only with a protocol that has such

  friend bool operator==(const Rule&, const Rule&) = default;
};

// "10.0.0.0/8", "2001:db8::1 443/tcp", "192.0.2.0/24 8000-8100/tcp", "53/udp", "0.0.0.0/0 icmp".
// Errors  kInvalidArgument  says what is wrong with which word
Result<Rule> ParseRule(const std::string& text);

struct Rules {
  std::vector<Rule> allow;
  std::vector<Rule> deny;

  bool empty() const { return deny.empty(); }
};

// Of texts as above. More than kMostRules are refused.
inline constexpr size_t kMostRules = 128;
Result<Rules> ParseRules(std::span<const std::string> allow, std::span<const std::string> deny);

// The host's rules and those of the sandbox: what is allowed is allowed by each of them.
using Policy = std::vector<Rules>;

// `port` is absent of what has none: other protocols, and later fragments of a packet. Those pass
// where some port of the address does; without the first fragment, which has the port, nobody gets
// anything of the packet.
bool Allows(const Rules& rules, uint8_t protocol, const sys::IpAddress& address,
            std::optional<uint16_t> port);
bool Allows(const Policy& policy, uint8_t protocol, const sys::IpAddress& address,
            std::optional<uint16_t> port);

}  // namespace kata::egress
