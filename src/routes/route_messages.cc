// SPDX-License-Identifier: Apache-2.0
#include "routes/route_messages.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace kata::routes {
namespace {

constexpr int kMaxNextHops = 256;
constexpr uint32_t kMaxWeight = 256;
constexpr uint32_t kByte = std::numeric_limits<uint8_t>::max();

std::unexpected<Error> Bad(std::string_view what, std::string_view text) {
  return Fail(Code::kInvalidArgument, fmt::format("{} \"{}\"", what, text));
}

// 0 where `device` is empty.
Result<int> LinkOf(const std::string& device, const LinksByName& links, const std::string& route) {
  if (device.empty()) return 0;
  const auto link = links.find(device);
  if (link == links.end()) {
    return Fail(Code::kNotFound,
                fmt::format("route to \"{}\": no interface \"{}\"", route, device));
  }
  return link->second;
}

Result<void> ReadNextHops(const types::Route& route, const LinksByName& links, sys::Route* value) {
  if (route.next_hops_size() > kMaxNextHops) return Bad("too many gateways of route", route.dest());
  for (const types::NextHop& hop : route.next_hops()) {
    const uint32_t weight = hop.weight() == 0 ? 1 : hop.weight();
    if (weight > kMaxWeight) return Bad("weight", std::to_string(weight));
    value->next_hops.push_back({.gateway = KATA_TRY(ReadAddress("gateway", hop.gateway())),
                                .link = KATA_TRY(LinkOf(hop.device(), links, route.dest())),
                                .flags = hop.flags() & RTNH_F_ONLINK,
                                .weight = weight});
  }
  return {};
}

void FillNextHop(const sys::NextHop& hop, const NamesByLink& names, types::NextHop* message) {
  if (hop.gateway) message->set_gateway(hop.gateway->Text());
  if (const auto name = names.find(hop.link); name != names.end()) {
    message->set_device(name->second);
  }
  message->set_flags(hop.flags);
  message->set_weight(hop.weight);
}

}  // namespace

types::IPFamily FamilyOf(const sys::IpAddress& address) {
  return address.family == AF_INET6 ? types::v6 : types::v4;
}

Result<std::optional<sys::IpAddress>> ReadAddress(std::string_view what, const std::string& text) {
  if (text.empty()) return std::optional<sys::IpAddress>();
  auto address = sys::IpAddress::Parse(text);
  if (!address) return Bad(what, text);
  return address;
}

Result<sys::Route> ReadRoute(const types::Route& route, const LinksByName& links) {
  sys::Route value;
  // Upstream's hosts send "10.0.0.2/0" for a preferred source.
  value.source =
      KATA_TRY(ReadAddress("source", route.source().substr(0, route.source().find('/'))));
  if (route.dest().empty()) {
    const bool ipv6 = route.family() == types::v6;
    value.destination.address.family = ipv6 ? AF_INET6 : AF_INET;
  } else {
    const auto destination = sys::IpPrefix::Parse(route.dest());
    if (!destination) return Bad("destination", route.dest());
    value.destination = *destination;
  }
  if (route.scope() > kByte || route.protocol() > kByte || route.type() > kByte) {
    return Bad("route", route.dest());
  }
  value.table = route.table() == 0 ? uint32_t{RT_TABLE_MAIN} : route.table();
  value.type = static_cast<uint8_t>(route.type() == 0 ? uint32_t{RTN_UNICAST} : route.type());
  value.scope = static_cast<uint8_t>(route.scope());
  value.protocol =
      static_cast<uint8_t>(route.protocol() == 0 ? uint32_t{RTPROT_BOOT} : route.protocol());
  value.metric = route.metric();
  value.mtu = route.mtu();
  if (route.next_hops_size() > 0) {
    KATA_TRY(ReadNextHops(route, links, &value));
    return value;
  }
  value.gateway = KATA_TRY(ReadAddress("gateway", route.gateway()));
  value.link = KATA_TRY(LinkOf(route.device(), links, route.dest()));
  value.flags = route.flags() & RTNH_F_ONLINK;
  return value;
}

bool HasNames(const sys::Route& route, const NamesByLink& names) {
  if (route.link != 0 && !names.contains(route.link)) return false;
  return std::ranges::all_of(route.next_hops,
                             [&](const sys::NextHop& hop) { return names.contains(hop.link); });
}

void FillRoute(const sys::Route& route, const NamesByLink& names, types::Route* message) {
  if (route.destination.length > 0) message->set_dest(route.destination.Text());
  const sys::NextHop way =
      route.next_hops.empty()
          ? sys::NextHop{.gateway = route.gateway, .link = route.link, .flags = route.flags}
          : route.next_hops.front();
  if (way.gateway) message->set_gateway(way.gateway->Text());
  if (const auto name = names.find(way.link); name != names.end()) {
    message->set_device(name->second);
  }
  message->set_flags(way.flags);
  if (route.source) message->set_source(route.source->Text());
  message->set_family(FamilyOf(route.destination.address));
  message->set_scope(route.scope);
  message->set_mtu(route.mtu);
  message->set_metric(route.metric);
  message->set_protocol(route.protocol);
  message->set_type(route.type == RTN_UNICAST ? 0U : route.type);
  message->set_table(route.table == RT_TABLE_MAIN ? 0U : route.table);
  for (const sys::NextHop& hop : route.next_hops) {
    FillNextHop(hop, names, message->add_next_hops());
  }
}

}  // namespace kata::routes
