// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/route_tables.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "routes/rule_messages.h"

namespace kata::guest {
namespace {

constexpr int kMaxRoutes = 4096;
constexpr int kMaxRules = 1024;

// IPv6 lists the ways of a route in another order than they were given in.
bool SameWays(std::vector<sys::NextHop> a, std::vector<sys::NextHop> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

bool SameRoute(const sys::Route& a, const sys::Route& b) {
  return a.destination == b.destination && a.table == b.table && a.gateway == b.gateway &&
         a.link == b.link && a.type == b.type && a.source == b.source && a.metric == b.metric &&
         a.mtu == b.mtu && SameWays(a.next_hops, b.next_hops);
}

bool IsIn(const std::vector<sys::Route>& routes, const sys::Route& route) {
  return std::ranges::any_of(routes,
                             [&](const sys::Route& each) { return SameRoute(each, route); });
}

// Of no business of the host's: what routers announce, and what each interface has by itself.
bool IsAutomatic(const sys::Route& route) {
  return route.protocol == RTPROT_RA ||
         (route.protocol == RTPROT_KERNEL && route.destination.address.IsLinkLocal());
}

bool GoesThroughGateway(const sys::Route& route) {
  return route.gateway || !route.next_hops.empty();
}

// IPv6 numbers a route without a metric.
sys::Route AsListed(sys::Route route) {
  constexpr uint32_t kDefaultMetric = 1024;
  if (route.destination.address.family == AF_INET6 && route.metric == 0) {
    route.metric = kDefaultMetric;
  }
  return route;
}

Result<std::vector<sys::Route>> ReadRoutes(sys::NetlinkSocket& socket,
                                           const agent::Routes& routes) {
  if (routes.routes_size() > kMaxRoutes || routes.table_routes_size() > kMaxRoutes) {
    return Fail(Code::kInvalidArgument, "too many routes");
  }
  routes::LinksByName links;
  for (const sys::Link& link : KATA_TRY(sys::ListLinks(socket))) links[link.name] = link.index;
  std::vector<sys::Route> values;
  for (const auto* list : {&routes.routes(), &routes.table_routes()}) {
    for (const types::Route& route : *list) {
      values.push_back(AsListed(KATA_TRY(routes::ReadRoute(route, links))));
      if (values.back().table == RT_TABLE_LOCAL) {
        return Fail(Code::kInvalidArgument, "the local table is the kernel's");
      }
    }
  }
  return values;
}

Result<std::vector<sys::RoutingRule>> ReadRules(const agent::Routes& routes) {
  if (routes.rules_size() > kMaxRules) return Fail(Code::kInvalidArgument, "too many rules");
  std::vector<sys::RoutingRule> rules;
  for (const types::Rule& rule : routes.rules()) {
    rules.push_back(KATA_TRY(routes::ReadRule(rule)));
  }
  return rules;
}

}  // namespace

Result<void> RouteTables::UpdateRoutes(sys::NetlinkSocket& socket,
                                       const std::vector<sys::Route>& wanted, bool complete) {
  std::set<uint32_t> tables;
  for (const sys::Route& route : wanted) {
    if (route.table != RT_TABLE_MAIN) tables.insert(route.table);
  }
  const std::vector<sys::Route> present = KATA_TRY(sys::ListRoutes(socket));
  for (const sys::Route& route : present) {
    const bool ours = route.table == RT_TABLE_MAIN || tables.contains(route.table) ||
                      tables_.contains(route.table);
    const bool kept = !ours || IsAutomatic(route) || IsIn(wanted, route) ||
                      (route.protocol == RTPROT_KERNEL && !complete);
    if (!kept) KATA_TRY(sys::DeleteRoute(socket, route));
  }
  tables_ = std::move(tables);
  // A gateway must be reachable before a route goes through it.
  for (const bool through_gateway : {false, true}) {
    for (const sys::Route& route : wanted) {
      const bool now = GoesThroughGateway(route) == through_gateway;
      if (!now || IsIn(present, route) || IsAutomatic(route)) continue;
      KATA_TRY_WITHIN(fmt::format("route to {}", route.destination.Text()),
                      sys::AddRoute(socket, route));
    }
  }
  return {};
}

Result<void> RouteTables::RemoveRules(sys::NetlinkSocket& socket,
                                      const std::vector<sys::RoutingRule>& wanted) {
  if (!rules_) {
    rules_ = KATA_TRY(sys::ListRules(socket));
    std::erase_if(*rules_, [](const auto& rule) { return rule.protocol != RTPROT_KERNEL; });
  }
  std::vector<sys::RoutingRule> kept;
  for (const sys::RoutingRule& rule : *rules_) {
    const bool named =
        std::ranges::find(wanted, rule.family, &sys::RoutingRule::family) != wanted.end();
    if (!named || std::ranges::find(wanted, rule) != wanted.end()) {
      kept.push_back(rule);
      continue;
    }
    auto deleted = sys::DeleteRule(socket, rule);
    // A container may have taken it away.
    if (!deleted && deleted.error().code() != Code::kNotFound) {
      return std::unexpected(
          std::move(deleted).error().Within(fmt::format("rule {}", rule.priority)));
    }
  }
  rules_ = std::move(kept);
  return {};
}

Result<void> RouteTables::AddRules(sys::NetlinkSocket& socket,
                                   const std::vector<sys::RoutingRule>& wanted) {
  for (const sys::RoutingRule& rule : wanted) {
    if (std::ranges::find(*rules_, rule) != rules_->end()) continue;
    KATA_TRY_WITHIN(fmt::format("rule {}", rule.priority), sys::AddRule(socket, rule));
    rules_->push_back(rule);
  }
  return {};
}

Result<void> RouteTables::Update(sys::NetlinkSocket& socket, const agent::Routes& routes) {
  const std::vector<sys::Route> wanted = KATA_TRY(ReadRoutes(socket, routes));
  const std::vector<sys::RoutingRule> rules = KATA_TRY(ReadRules(routes));
  // No rule points to a table that is half made.
  if (routes.complete()) KATA_TRY(RemoveRules(socket, rules));
  KATA_TRY(UpdateRoutes(socket, wanted, routes.complete()));
  if (routes.complete()) KATA_TRY(AddRules(socket, rules));
  return {};
}

Result<agent::Routes> RouteTables::List(sys::NetlinkSocket& socket) {
  routes::NamesByLink names;
  for (const sys::Link& link : KATA_TRY(sys::ListLinks(socket))) names[link.index] = link.name;
  agent::Routes all;
  for (const sys::Route& route : KATA_TRY(sys::ListRoutes(socket))) {
    const bool main = route.table == RT_TABLE_MAIN;
    routes::FillRoute(route, names, main ? all.add_routes() : all.add_table_routes());
  }
  for (const sys::RoutingRule& rule : KATA_TRY(sys::ListRules(socket))) {
    routes::FillRule(rule, all.add_rules());
  }
  return all;
}

}  // namespace kata::guest
