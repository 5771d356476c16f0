// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/network_messages.h"

#include <linux/if.h>
#include <linux/rtnetlink.h>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

types::IPFamily FamilyOf(const sys::IpAddress& address) {
  return address.family == AF_INET6 ? types::v6 : types::v4;
}

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

agent::Routes RoutesFor(const std::vector<sys::Route>& routes,
                        const std::map<int, std::string>& names) {
  agent::Routes all;
  all.set_complete(true);
  for (const sys::Route& route : routes) {
    const auto name = names.find(route.link);
    if (route.link != 0 && name == names.end()) continue;
    types::Route& message = *all.add_routes();
    if (route.destination.length > 0) message.set_dest(route.destination.Text());
    if (route.gateway) message.set_gateway(route.gateway->Text());
    if (route.source) message.set_source(route.source->Text());
    if (route.link != 0) message.set_device(name->second);
    message.set_family(FamilyOf(route.destination.address));
    message.set_scope(route.scope);
    message.set_flags(route.flags);
    message.set_mtu(route.mtu);
    message.set_metric(route.metric);
    message.set_protocol(route.protocol);
    message.set_type(route.type == RTN_UNICAST ? 0U : route.type);
  }
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
