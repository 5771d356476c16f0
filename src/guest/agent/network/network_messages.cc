// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/network_messages.h"

#include <linux/if.h>
#include <linux/neighbour.h>
#include <net/if_arp.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "routes/route_messages.h"

namespace kata::guest {
namespace {

std::unexpected<Error> Bad(std::string_view what, std::string_view text) {
  return Fail(Code::kInvalidArgument, fmt::format("{} \"{}\"", what, text));
}

}  // namespace

Result<sys::MacAddress> ReadMac(const std::string& text) {
  const auto mac = sys::ParseMac(text);
  if (!mac) return Bad("hardware address", text);
  return *mac;
}

Result<void> CheckLinkName(const std::string& name) {
  const bool good = !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
                    std::ranges::none_of(
                        name,
                        [](unsigned char c) {
                          return c <= ' ' || c == '/' || c == ':' || c == '%' || c == 0x7f;
                        });
  if (!good) return Bad("interface name", name);
  return {};
}

Result<sys::LinkAddress> ReadAddress(const types::IPAddress& address) {
  sys::LinkAddress value;
  const auto prefix = sys::IpPrefix::Parse(
      address.mask().empty() ? address.address() : address.address() + "/" + address.mask());
  if (!prefix) return Bad("address", address.address() + "/" + address.mask());
  value.prefix = *prefix;
  value.peer = KATA_TRY(routes::ReadAddress("peer address", address.peer()));
  value.broadcast = KATA_TRY(routes::ReadAddress("broadcast address", address.broadcast()));
  if (address.scope() > std::numeric_limits<uint8_t>::max()) return Bad("scope", "");
  value.scope = static_cast<uint8_t>(address.scope());
  return value;
}

Result<sys::Neighbor> ReadNeighbor(const types::ARPNeighbor& neighbor) {
  sys::Neighbor value;
  const auto address = sys::IpAddress::Parse(neighbor.to_ip_address().address());
  if (!address) return Bad("neighbor", neighbor.to_ip_address().address());
  value.address = *address;
  value.mac = KATA_TRY(ReadMac(neighbor.lladdr()));
  value.state = neighbor.state() == 0 ? NUD_PERMANENT : static_cast<uint16_t>(neighbor.state());
  value.flags = static_cast<uint8_t>(neighbor.flags());
  return value;
}

void FillAddress(const sys::LinkAddress& address, types::IPAddress* message) {
  message->set_family(routes::FamilyOf(address.prefix.address));
  message->set_address(address.prefix.address.Text());
  message->set_mask(fmt::format("{}", address.prefix.length));
  if (address.peer) message->set_peer(address.peer->Text());
  if (address.broadcast) message->set_broadcast(address.broadcast->Text());
  message->set_scope(address.scope);
}

void FillInterface(const sys::Link& link, types::Interface* message) {
  message->set_device(link.name);
  message->set_name(link.name);
  message->set_mtu(link.mtu);
  message->set_hw_addr(sys::MacText(link.mac));
  if (link.permanent_mac) message->set_permanent_hw_addr(sys::MacText(*link.permanent_mac));
  message->set_type(link.kind);
  message->set_raw_flags(link.flags & IFF_NOARP);
  message->set_ipv6_off(link.ipv6_off);
}

}  // namespace kata::guest
