// SPDX-License-Identifier: Apache-2.0
#include "host/plan/network_messages.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>

#include <fmt/format.h>

#include "routes/rule_messages.h"

namespace kata::sandbox {
namespace {

using routes::FamilyOf;

}  // namespace

types::Interface InterfaceFor(const network::Endpoint& endpoint,
                              const sys::MacAddress& hardware_mac, const std::string& pci_path) {
  types::Interface interface;
  interface.set_device(endpoint.link.name);
  interface.set_name(endpoint.link.name);
  interface.set_mtu(endpoint.link.mtu);
  interface.set_hw_addr(sys::MacText(endpoint.link.mac));
  interface.set_permanent_hw_addr(sys::MacText(hardware_mac));
  interface.set_device_path(pci_path);
  interface.set_type(endpoint.link.kind);
  interface.set_raw_flags(endpoint.link.flags & IFF_NOARP);
  interface.set_ipv6_off(endpoint.link.ipv6_off);
  for (const sys::LinkAddress& address : endpoint.addresses) {
    types::IPAddress& message = *interface.add_ip_addresses();
    message.set_family(FamilyOf(address.prefix.address));
    message.set_address(address.prefix.address.Text());
    message.set_mask(fmt::format("{}", address.prefix.length));
    if (address.peer) message.set_peer(address.peer->Text());
    if (address.broadcast) message.set_broadcast(address.broadcast->Text());
    message.set_scope(address.scope);
  }
  return interface;
}

agent::Routes RoutesFor(const network::NamespaceView& view, const routes::NamesByLink& names) {
  agent::Routes all;
  all.set_complete(true);
  for (const sys::Route& route : view.routes) {
    if (!routes::HasNames(route, names)) continue;
    const bool main = route.table == RT_TABLE_MAIN;
    routes::FillRoute(route, names, main ? all.add_routes() : all.add_table_routes());
  }
  for (const sys::RoutingRule& rule : view.rules) routes::FillRule(rule, all.add_rules());
  return all;
}

agent::ARPNeighbors NeighborsFor(const network::NamespaceView& view) {
  agent::ARPNeighbors all;
  for (const network::Endpoint& endpoint : view.endpoints) {
    for (const sys::Neighbor& neighbor : endpoint.neighbors) {
      types::ARPNeighbor& message = *all.add_arp_neighbors();
      message.mutable_to_ip_address()->set_family(FamilyOf(neighbor.address));
      message.mutable_to_ip_address()->set_address(neighbor.address.Text());
      message.set_device(endpoint.link.name);
      message.set_lladdr(sys::MacText(neighbor.mac));
      message.set_state(neighbor.state);
      message.set_flags(neighbor.flags);
    }
  }
  return all;
}

}  // namespace kata::sandbox
