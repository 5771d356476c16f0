// SPDX-License-Identifier: Apache-2.0
#include "sys/routing_rule.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <limits>
#include <utility>

namespace kata::sys {
namespace {

// How the kernel says that nothing is suppressed.
constexpr uint32_t kNothing = std::numeric_limits<uint32_t>::max();

std::optional<IpPrefix> PrefixIn(const Attributes& attributes, uint16_t type, uint8_t length) {
  const auto bytes = attributes.Find(type);
  const auto address = bytes ? IpAddress::FromBytes(*bytes) : std::nullopt;
  if (!address) return std::nullopt;
  return IpPrefix{*address, length};
}

std::optional<PortRange> PortsIn(const Attributes& attributes, uint16_t type) {
  const auto bytes = attributes.Find(type);
  if (!bytes || bytes->size() != sizeof(fib_rule_port_range)) return std::nullopt;
  const auto range = FamilyHeader<fib_rule_port_range>(*bytes);
  return PortRange{range.start, range.end};
}

std::optional<UserRange> UsersIn(const Attributes& attributes) {
  const auto bytes = attributes.Find(FRA_UID_RANGE);
  if (!bytes || bytes->size() != sizeof(fib_rule_uid_range)) return std::nullopt;
  const auto range = FamilyHeader<fib_rule_uid_range>(*bytes);
  return UserRange{range.start, range.end};
}

std::optional<uint32_t> SuppressedIn(const Attributes& attributes, uint16_t type) {
  const auto value = attributes.U32(type);
  return value == kNothing ? std::nullopt : value;
}

void PutPorts(NetlinkRequest& request, uint16_t type, const std::optional<PortRange>& ports) {
  if (!ports) return;
  request.PutValue(type, fib_rule_port_range{.start = ports->first, .end = ports->last});
}

// What a packet must have.
void PutSelectors(NetlinkRequest& request, const RoutingRule& rule) {
  if (rule.from) request.Put(FRA_SRC, rule.from->address.Bytes());
  if (rule.to) request.Put(FRA_DST, rule.to->address.Bytes());
  if (!rule.in.empty()) request.PutText(FRA_IIFNAME, rule.in);
  if (!rule.out.empty()) request.PutText(FRA_OIFNAME, rule.out);
  if (rule.mark != 0 || rule.mark_mask != 0) {
    request.PutU32(FRA_FWMARK, rule.mark).PutU32(FRA_FWMASK, rule.mark_mask);
  }
  if (rule.ip_protocol != 0) request.PutValue(FRA_IP_PROTO, rule.ip_protocol);
  PutPorts(request, FRA_SPORT_RANGE, rule.source_ports);
  PutPorts(request, FRA_DPORT_RANGE, rule.destination_ports);
  if (rule.users) {
    request.PutValue(FRA_UID_RANGE,
                     fib_rule_uid_range{.start = rule.users->first, .end = rule.users->last});
  }
}

NetlinkRequest RuleRequest(uint16_t type, uint16_t flags, const RoutingRule& rule) {
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(rule.family);
  header.src_len = rule.from ? rule.from->length : uint8_t{0};
  header.dst_len = rule.to ? rule.to->length : uint8_t{0};
  header.tos = rule.tos;
  header.action = rule.action;
  header.flags = rule.inverted ? FIB_RULE_INVERT : 0;
  NetlinkRequest request(type, flags);
  request.Header(header);
  request.PutU32(FRA_PRIORITY, rule.priority);
  if (rule.table != 0) request.PutU32(FRA_TABLE, rule.table);
  if (rule.action == FR_ACT_GOTO) request.PutU32(FRA_GOTO, rule.target);
  request.PutValue(FRA_PROTOCOL, rule.protocol);
  PutSelectors(request, rule);
  if (rule.suppressed_length) request.PutU32(FRA_SUPPRESS_PREFIXLEN, *rule.suppressed_length);
  if (rule.suppressed_group) request.PutU32(FRA_SUPPRESS_IFGROUP, *rule.suppressed_group);
  return request;
}

}  // namespace

std::optional<RoutingRule> ParseRule(const NetlinkMessage& message) {
  if (message.type != RTM_NEWRULE || message.body.size() < sizeof(fib_rule_hdr)) {
    return std::nullopt;
  }
  const auto header = FamilyHeader<fib_rule_hdr>(message.body);
  if (header.family != AF_INET && header.family != AF_INET6) return std::nullopt;
  const auto attributes = Attributes::After<fib_rule_hdr>(message.body);
  for (const uint16_t unknown : {FRA_L3MDEV, FRA_TUN_ID, FRA_FLOW}) {
    if (attributes.Has(unknown)) return std::nullopt;
  }
  RoutingRule rule;
  rule.family = header.family;
  rule.priority = attributes.U32(FRA_PRIORITY).value_or(0);
  rule.action = header.action;
  rule.table = attributes.U32(FRA_TABLE).value_or(header.table);
  rule.target = attributes.U32(FRA_GOTO).value_or(0);
  rule.protocol = attributes.U8(FRA_PROTOCOL).value_or(RTPROT_UNSPEC);
  rule.from = PrefixIn(attributes, FRA_SRC, header.src_len);
  rule.to = PrefixIn(attributes, FRA_DST, header.dst_len);
  rule.in = attributes.Text(FRA_IIFNAME);
  rule.out = attributes.Text(FRA_OIFNAME);
  rule.tos = header.tos;
  rule.mark = attributes.U32(FRA_FWMARK).value_or(0);
  rule.mark_mask = attributes.U32(FRA_FWMASK).value_or(0);
  rule.ip_protocol = attributes.U8(FRA_IP_PROTO).value_or(0);
  rule.source_ports = PortsIn(attributes, FRA_SPORT_RANGE);
  rule.destination_ports = PortsIn(attributes, FRA_DPORT_RANGE);
  rule.users = UsersIn(attributes);
  rule.inverted = (header.flags & FIB_RULE_INVERT) != 0;
  rule.suppressed_length = SuppressedIn(attributes, FRA_SUPPRESS_PREFIXLEN);
  rule.suppressed_group = SuppressedIn(attributes, FRA_SUPPRESS_IFGROUP);
  return rule;
}

Result<std::vector<RoutingRule>> ListRules(NetlinkSocket& socket) {
  std::vector<RoutingRule> rules;
  NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP);
  request.Header(fib_rule_hdr{});
  KATA_TRY(socket.Query(std::move(request), [&](const NetlinkMessage& message) {
    if (auto rule = ParseRule(message)) rules.push_back(*std::move(rule));
  }));
  return rules;
}

Result<void> AddRule(NetlinkSocket& socket, const RoutingRule& rule) {
  auto added = socket.Change(RuleRequest(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, rule));
  if (!added && added.error().code() == Code::kAlreadyExists) return {};
  return added;
}

Result<void> DeleteRule(NetlinkSocket& socket, const RoutingRule& rule) {
  return socket.Change(RuleRequest(RTM_DELRULE, NLM_F_ACK, rule));
}

}  // namespace kata::sys
