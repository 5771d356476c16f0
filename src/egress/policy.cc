// SPDX-License-Identifier: Apache-2.0
#include "egress/policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <netinet/in.h>

namespace kata::egress {
namespace {

constexpr std::array<std::pair<std::string_view, uint8_t>, 4> kProtocols{
    {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}, {"icmp", IPPROTO_ICMP}}};
constexpr size_t kMostShown = 80;

std::unexpected<Error> Bad(std::string_view text, std::string_view problem) {
  return Fail(Code::kInvalidArgument,
              fmt::format("\"{}\" is no destination: {}", text.substr(0, kMostShown), problem));
}

std::optional<uint8_t> ProtocolByName(std::string_view name) {
  const auto* found =
      std::ranges::find(kProtocols, name, [](const auto& each) { return each.first; });
  if (found == kProtocols.end()) return std::nullopt;
  return found->second;
}

std::optional<uint16_t> PortIn(std::string_view text) {
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || parsed != end || port == 0) return std::nullopt;
  return port;
}

std::optional<Ports> PortsIn(std::string_view text) {
  const size_t dash = text.find('-');
  const auto low = PortIn(text.substr(0, dash));
  const auto high = dash == text.npos ? low : PortIn(text.substr(dash + 1));
  if (!low || !high || *low > *high) return std::nullopt;
  return Ports{.low = *low, .high = *high};
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    if (text.empty()) return words;
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

sys::IpPrefix Masked(sys::IpPrefix prefix) {
  for (size_t i = 0; i < prefix.address.size(); ++i) {
    const int bits = std::clamp(prefix.length - static_cast<int>(i) * 8, 0, 8);
    prefix.address.bytes[i] &= static_cast<uint8_t>(0xff << (8 - bits));
  }
  return prefix;
}

// "443/tcp", "tcp".
Result<void> ReadService(const std::string& text, const std::string& word, Rule* rule) {
  const size_t slash = word.find('/');
  const std::string name = slash == word.npos ? word : word.substr(slash + 1);
  rule->protocol = ProtocolByName(name);
  if (!rule->protocol) {
    return Bad(text,
               fmt::format("\"{}\" is neither an address nor one of tcp, udp, sctp, icmp with "
                           "or without ports (443/tcp, 8000-8100/udp)",
                           word));
  }
  if (slash == word.npos) return {};
  if (*rule->protocol == IPPROTO_ICMP) return Bad(text, "icmp has no ports");
  rule->ports = PortsIn(std::string_view(word).substr(0, slash));
  if (!rule->ports) return Bad(text, fmt::format("\"{}\" is no port from 1 to 65535", word));
  return {};
}

bool Contains(const sys::IpPrefix& network, const sys::IpAddress& address) {
  return network.address.family == address.family &&
         Masked({.address = address, .length = network.length}).address == network.address;
}

enum class List { kAllow, kDeny };

bool Matches(const Rule& rule, List list, uint8_t protocol, const sys::IpAddress& address,
             std::optional<uint16_t> port) {
  if (rule.network && !Contains(*rule.network, address)) return false;
  const uint8_t wanted = rule.protocol == IPPROTO_ICMP && address.family == AF_INET6
                             ? uint8_t{IPPROTO_ICMPV6}
                             : rule.protocol.value_or(protocol);
  if (wanted != protocol) return false;
  if (!rule.ports) return true;
  if (!port) return list == List::kAllow;
  return *port >= rule.ports->low && *port <= rule.ports->high;
}

Result<std::vector<Rule>> ParseList(std::span<const std::string> texts) {
  std::vector<Rule> rules;
  for (const std::string& text : texts) rules.push_back(KATA_TRY(ParseRule(text)));
  return rules;
}

}  // namespace

Result<Rule> ParseRule(const std::string& text) {
  const std::vector<std::string> words = Words(text);
  if (words.empty()) return Bad(text, "it is empty");
  if (words.size() > 2) return Bad(text, "expected a network, ports with a protocol, or both");
  Rule rule;
  if (auto network = sys::IpPrefix::Parse(words.front())) {
    rule.network = Masked(*network);
  } else if (words.size() == 2) {
    return Bad(text,
               fmt::format("\"{}\" is no address and no network in CIDR notation", words.front()));
  }
  if (!rule.network || words.size() == 2) KATA_TRY(ReadService(text, words.back(), &rule));
  return rule;
}

Result<Rules> ParseRules(std::span<const std::string> allow, std::span<const std::string> deny) {
  if (allow.size() + deny.size() > kMostRules) {
    return Fail(Code::kInvalidArgument, fmt::format("more than {} destinations", kMostRules));
  }
  auto allowed = KATA_TRY(ParseList(allow));
  return Rules{.allow = std::move(allowed), .deny = KATA_TRY(ParseList(deny))};
}

bool Allows(const Rules& rules, uint8_t protocol, const sys::IpAddress& address,
            std::optional<uint16_t> port) {
  const auto named = [&](const std::vector<Rule>& list, List which) {
    return std::ranges::any_of(
        list, [&](const Rule& rule) { return Matches(rule, which, protocol, address, port); });
  };
  return named(rules.allow, List::kAllow) || !named(rules.deny, List::kDeny);
}

bool Allows(const Policy& policy, uint8_t protocol, const sys::IpAddress& address,
            std::optional<uint16_t> port) {
  return std::ranges::all_of(
      policy, [&](const Rules& rules) { return Allows(rules, protocol, address, port); });
}

}  // namespace kata::egress
