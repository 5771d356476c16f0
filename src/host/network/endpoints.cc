// SPDX-License-Identifier: Apache-2.0
#include "host/network/endpoints.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>

#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>

namespace kata::network {
namespace {

constexpr std::string_view kSuffix = "_kata";
constexpr std::string_view kPrefix = "tap";

// Empty where the link is an endpoint or of no interest to anybody.
std::string WhyNot(const sys::Link& link) {
  if (link.type != ARPHRD_ETHER) {
    return fmt::format("interface {} is no Ethernet interface and is not connected", link.name);
  }
  if (link.master != 0) {
    return fmt::format("interface {} belongs to another one and is not connected", link.name);
  }
  return "";
}

// Made by the kernel in every namespace once the driver was used anywhere.
bool IsFallbackDevice(const sys::Link& link) {
  return (link.flags & IFF_UP) == 0 && (link.type != ARPHRD_ETHER || link.mac == sys::MacAddress{});
}

bool BelongsToGuest(const sys::LinkAddress& address) {
  // The guest's kernel makes its own link-local ones, and asks routers itself.
  if (address.prefix.address.family != AF_INET6) return true;
  return !address.prefix.address.IsLinkLocal() && (address.flags & IFA_F_PERMANENT) != 0;
}

bool BelongsToGuest(const sys::Neighbor& neighbor) {
  return (neighbor.state & NUD_PERMANENT) != 0 && neighbor.mac != sys::MacAddress{};
}

// The ways that a route takes.
std::vector<int> LinksOf(const sys::Route& route) {
  if (route.next_hops.empty()) return {route.link};
  std::vector<int> links;
  for (const sys::NextHop& hop : route.next_hops) links.push_back(hop.link);
  return links;
}

bool IsEndpoint(const NamespaceView& view, int link) {
  return std::ranges::any_of(view.endpoints,
                             [&](const Endpoint& each) { return each.link.index == link; });
}

void TakeRoutes(const NamespaceContents& contents, NamespaceView* view) {
  view->rules = contents.rules;
  std::set<uint32_t> tables = {RT_TABLE_MAIN};
  for (const sys::RoutingRule& rule : contents.rules) tables.insert(rule.table);
  for (const sys::Route& route : contents.routes) {
    if (route.protocol == RTPROT_RA || !tables.contains(route.table)) continue;
    const std::vector<int> links = LinksOf(route);
    const auto ours = std::ranges::count_if(
        links, [&](int link) { return link == 0 || IsEndpoint(*view, link); });
    if (ours == std::ssize(links)) {
      view->routes.push_back(route);
    } else if (ours > 0) {
      view->notes.push_back(
          fmt::format("the route to {} also goes through an interface that is not connected, and "
                      "is left out",
                      route.destination.Text()));
    }
  }
}

}  // namespace

std::string TapName(int number) { return fmt::format("{}{}{}", kPrefix, number, kSuffix); }

bool IsTapName(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return false;
  const std::string number =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  return !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
}

Result<void> CheckEndpoint(const Endpoint& endpoint) {
  // The kernel hands what comes in for it to the namespace's IP layer, past every hook on the
  // interface. In mode l3 it is a frame of the interface first.
  if (endpoint.link.kind == "ipvlan" && endpoint.link.sub_kind == "l3s") {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format("interface \"{}\" is an ipvlan of mode l3s, whose packets never reach a "
                    "virtual machine; make it with mode l3 or l2",
                    endpoint.link.name));
  }
  return {};
}

NamespaceView ViewOf(const NamespaceContents& contents) {
  NamespaceView view;
  for (const sys::Link& link : contents.links) {
    view.names.push_back(link.name);
    view.links.push_back(link.index);
    if ((link.flags & IFF_LOOPBACK) != 0) view.loopback = link;
    const bool skipped = (link.flags & IFF_LOOPBACK) != 0 || IsTapName(link.name) ||
                         IsFallbackDevice(link) || (link.flags & IFF_UP) == 0;
    if (skipped) continue;
    if (std::string reason = WhyNot(link); !reason.empty()) {
      view.notes.push_back(std::move(reason));
      continue;
    }
    Endpoint endpoint{.link = link, .addresses = {}, .neighbors = {}};
    for (const sys::LinkAddress& address : contents.addresses) {
      if (address.link == link.index && BelongsToGuest(address)) {
        endpoint.addresses.push_back(address);
      }
    }
    for (const sys::Neighbor& neighbor : contents.neighbors) {
      if (neighbor.link == link.index && BelongsToGuest(neighbor)) {
        endpoint.neighbors.push_back(neighbor);
      }
    }
    view.endpoints.push_back(std::move(endpoint));
  }
  TakeRoutes(contents, &view);
  return view;
}

Result<NamespaceContents> ListContents(sys::NetlinkSocket& socket) {
  NamespaceContents contents;
  contents.links = KATA_TRY(sys::ListLinks(socket));
  contents.addresses = KATA_TRY(sys::ListAddresses(socket));
  contents.routes = KATA_TRY(sys::ListRoutes(socket));
  contents.rules = KATA_TRY(sys::ListRules(socket));
  contents.neighbors = KATA_TRY(sys::ListNeighbors(socket));
  return contents;
}

Result<NamespaceView> Discover(sys::NetlinkSocket& socket) {
  const NamespaceContents contents = KATA_TRY(ListContents(socket));
  return ViewOf(contents);
}

}  // namespace kata::network
