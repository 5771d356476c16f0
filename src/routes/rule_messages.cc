// SPDX-License-Identifier: Apache-2.0
#include "routes/rule_messages.h"

#include <linux/if.h>
#include <sys/socket.h>

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace kata::routes {
namespace {

std::unexpected<Error> Bad(const types::Rule& rule, std::string_view what) {
  return Fail(Code::kInvalidArgument, fmt::format("rule {}: {}", rule.priority(), what));
}

template <std::unsigned_integral Number>
bool Fits(uint32_t value) {
  return value <= std::numeric_limits<Number>::max();
}

// Absent where `text` is empty.
Result<std::optional<sys::IpPrefix>> ReadPrefix(const types::Rule& rule, const std::string& text) {
  if (text.empty()) return std::optional<sys::IpPrefix>();
  auto prefix = sys::IpPrefix::Parse(text);
  const int family = rule.family() == types::v6 ? AF_INET6 : AF_INET;
  if (!prefix || prefix->address.family != family) {
    return Bad(rule, fmt::format("\"{}\" is no prefix of its family", text));
  }
  return prefix;
}

Result<std::optional<sys::PortRange>> ReadPorts(const types::Rule& rule, bool has,
                                                const types::NumberRange& range) {
  if (!has) return std::optional<sys::PortRange>();
  if (!Fits<uint16_t>(range.first()) || !Fits<uint16_t>(range.last())) {
    return Bad(rule, "a port above 65535");
  }
  return sys::PortRange{static_cast<uint16_t>(range.first()), static_cast<uint16_t>(range.last())};
}

template <class Range>
void FillRange(const std::optional<Range>& range, types::NumberRange* (types::Rule::*field)(),
               types::Rule* message) {
  if (!range) return;
  types::NumberRange& numbers = *(message->*field)();
  numbers.set_first(range->first);
  numbers.set_last(range->last);
}

}  // namespace

Result<sys::RoutingRule> ReadRule(const types::Rule& rule) {
  for (const uint32_t byte : {rule.action(), rule.protocol(), rule.tos(), rule.ip_protocol()}) {
    if (!Fits<uint8_t>(byte)) return Bad(rule, fmt::format("{} is out of range", byte));
  }
  for (const std::string& name : {rule.in(), rule.out()}) {
    if (name.size() >= IFNAMSIZ) return Bad(rule, fmt::format("interface name \"{}\"", name));
  }
  sys::RoutingRule value;
  value.family = rule.family() == types::v6 ? AF_INET6 : AF_INET;
  value.priority = rule.priority();
  value.action = static_cast<uint8_t>(rule.action());
  value.table = rule.table();
  value.target = rule.target();
  value.protocol = static_cast<uint8_t>(rule.protocol());
  value.from = KATA_TRY(ReadPrefix(rule, rule.from()));
  value.to = KATA_TRY(ReadPrefix(rule, rule.to()));
  value.in = rule.in();
  value.out = rule.out();
  value.tos = static_cast<uint8_t>(rule.tos());
  value.mark = rule.mark();
  value.mark_mask = rule.mark_mask();
  value.ip_protocol = static_cast<uint8_t>(rule.ip_protocol());
  value.source_ports = KATA_TRY(ReadPorts(rule, rule.has_source_ports(), rule.source_ports()));
  value.destination_ports =
      KATA_TRY(ReadPorts(rule, rule.has_destination_ports(), rule.destination_ports()));
  if (rule.has_users()) value.users = {rule.users().first(), rule.users().last()};
  value.inverted = rule.inverted();
  if (rule.has_suppressed_length()) value.suppressed_length = rule.suppressed_length();
  if (rule.has_suppressed_group()) value.suppressed_group = rule.suppressed_group();
  return value;
}

void FillRule(const sys::RoutingRule& rule, types::Rule* message) {
  message->set_family(rule.family == AF_INET6 ? types::v6 : types::v4);
  message->set_priority(rule.priority);
  message->set_action(rule.action);
  message->set_table(rule.table);
  message->set_target(rule.target);
  message->set_protocol(rule.protocol);
  if (rule.from) message->set_from(rule.from->Text());
  if (rule.to) message->set_to(rule.to->Text());
  message->set_in(rule.in);
  message->set_out(rule.out);
  message->set_tos(rule.tos);
  message->set_mark(rule.mark);
  message->set_mark_mask(rule.mark_mask);
  message->set_ip_protocol(rule.ip_protocol);
  FillRange(rule.source_ports, &types::Rule::mutable_source_ports, message);
  FillRange(rule.destination_ports, &types::Rule::mutable_destination_ports, message);
  FillRange(rule.users, &types::Rule::mutable_users, message);
  message->set_inverted(rule.inverted);
  if (rule.suppressed_length) message->set_suppressed_length(*rule.suppressed_length);
  if (rule.suppressed_group) message->set_suppressed_group(*rule.suppressed_group);
}

}  // namespace kata::routes
