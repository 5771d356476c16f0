// SPDX-License-Identifier: Apache-2.0
#include "host/network/socket_view.h"

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "host/network/two_namespaces.h"

namespace kata::network {
namespace {

int LinkOf(const sys::Route& route) {
  return route.next_hops.empty() ? route.link : route.next_hops.front().link;
}

bool IsOfMainTable(const sys::Route& route) {
  return route.table == RT_TABLE_MAIN && route.protocol != RTPROT_RA;
}

const sys::Link* UsableLink(const NamespaceContents& contents, int index) {
  const auto found = std::ranges::find(contents.links, index, &sys::Link::index);
  if (found == contents.links.end() || (found->flags & IFF_UP) == 0) return nullptr;
  return &*found;
}

bool IsGivenToGuest(const NamespaceContents& contents, const sys::LinkAddress& address) {
  return UsableLink(contents, address.link) != nullptr && IsReachable(address.prefix.address) &&
         (address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) == 0;
}

// The link that others are reached by.
const sys::Link* MainLink(const NamespaceContents& contents) {
  const sys::Route* best = nullptr;
  for (const sys::Route& route : contents.routes) {
    const bool leads = route.table == RT_TABLE_MAIN && route.type == RTN_UNICAST &&
                       route.destination.length == 0 &&
                       UsableLink(contents, LinkOf(route)) != nullptr;
    if (!leads) continue;
    const bool v4 = route.destination.address.family == AF_INET;
    if (best == nullptr || (v4 && best->destination.address.family != AF_INET) ||
        (best->destination.address.family == route.destination.address.family &&
         route.metric < best->metric)) {
      best = &route;
    }
  }
  if (best != nullptr) return UsableLink(contents, LinkOf(*best));
  for (const sys::LinkAddress& address : contents.addresses) {
    const sys::Link* link = UsableLink(contents, address.link);
    if (link != nullptr && (link->flags & IFF_LOOPBACK) == 0 && IsGivenToGuest(contents, address)) {
      return link;
    }
  }
  return nullptr;
}

// As it is for a guest whose only interface is `link`.
std::optional<sys::Route> ForGuest(const sys::Route& route, int link) {
  if (!IsOfMainTable(route)) return std::nullopt;
  const sys::IpAddress& destination = route.destination.address;
  if (destination.IsLinkLocal() && LinkOf(route) != link) return std::nullopt;
  sys::Route one = route;
  one.next_hops.clear();
  if (route.type != RTN_UNICAST) return one;
  if (!route.next_hops.empty()) one.gateway = route.next_hops.front().gateway;
  if (LinkOf(route) != link) {
    // It is the host's to know the way from there.
    one.gateway.reset();
    one.flags = 0;
  }
  one.link = link;
  one.scope = destination.family == AF_INET && !one.gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return one;
}

bool IsSame(const sys::Route& one, const sys::Route& other) {
  return one.destination == other.destination && one.metric == other.metric;
}

bool IsKernelsOwn(const sys::RoutingRule& rule) {
  sys::RoutingRule bare;
  bare.family = rule.family;
  bare.priority = rule.priority;
  bare.action = FR_ACT_TO_TBL;
  bare.table = rule.table;
  bare.protocol = rule.protocol;
  const bool table =
      rule.table == RT_TABLE_LOCAL || rule.table == RT_TABLE_MAIN || rule.table == RT_TABLE_DEFAULT;
  bare.suppressed_length = rule.suppressed_length;
  bare.suppressed_group = rule.suppressed_group;
  return table && bare == rule;
}

// Where no default route leads there: to what stands for the namespace's loopback.
void AddStandIns(const Endpoint& endpoint, std::vector<sys::Route>& routes) {
  for (const auto& [family, stand_in] :
       {std::pair(AF_INET, kLoopback4), std::pair(AF_INET6, kLoopback6)}) {
    const bool has_any = std::ranges::any_of(
        endpoint.addresses, [&](const auto& each) { return each.prefix.address.family == family; });
    const bool is_led = std::ranges::any_of(routes, [&](const sys::Route& each) {
      return each.type == RTN_UNICAST && each.destination.length == 0 &&
             each.destination.address.family == family;
    });
    if (!has_any || is_led) continue;
    sys::Route route;
    route.destination = *sys::IpPrefix::Parse(stand_in);
    route.link = endpoint.link.index;
    route.table = RT_TABLE_MAIN;
    route.type = RTN_UNICAST;
    route.protocol = RTPROT_STATIC;
    route.scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    routes.push_back(std::move(route));
  }
}

}  // namespace

NamespaceView SocketViewOf(const NamespaceContents& contents) {
  NamespaceView view;
  for (const sys::RoutingRule& rule : contents.rules) {
    if (IsKernelsOwn(rule)) view.rules.push_back(rule);
  }
  const sys::Link* link = MainLink(contents);
  if (link == nullptr) return view;
  Endpoint endpoint{.link = *link, .addresses = {}, .neighbors = {}};
  endpoint.link.flags |= IFF_NOARP;
  for (const bool of_link : {true, false}) {
    for (sys::LinkAddress address : contents.addresses) {
      if ((address.link == link->index) != of_link || !IsGivenToGuest(contents, address)) continue;
      address.link = link->index;
      endpoint.addresses.push_back(address);
    }
  }
  for (const sys::Route& route : contents.routes) {
    auto given = ForGuest(route, link->index);
    if (!given || std::ranges::any_of(
                      view.routes, [&](const sys::Route& each) { return IsSame(each, *given); })) {
      continue;
    }
    view.routes.push_back(*std::move(given));
  }
  AddStandIns(endpoint, view.routes);
  view.links = {link->index};
  view.endpoints.push_back(std::move(endpoint));
  return view;
}

}  // namespace kata::network
