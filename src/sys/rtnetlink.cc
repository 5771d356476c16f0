// SPDX-License-Identifier: Apache-2.0
#include "sys/rtnetlink.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace kata::sys {
namespace {

constexpr uint16_t kDump = NLM_F_DUMP;

std::optional<IpAddress> AddressIn(const Attributes& attributes, uint16_t type) {
  const auto bytes = attributes.Find(type);
  return bytes ? IpAddress::FromBytes(*bytes) : std::nullopt;
}

std::optional<MacAddress> MacIn(const Attributes& attributes, uint16_t type) {
  const auto bytes = attributes.Find(type);
  MacAddress mac{};
  if (!bytes || bytes->size() != mac.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), mac.begin());
  return mac;
}

LinkCounters CountersIn(const Attributes& attributes) {
  const auto stats =
      FamilyHeader<rtnl_link_stats64>(attributes.Find(IFLA_STATS64).value_or(std::string_view()));
  return {.rx_packets = stats.rx_packets,
          .tx_packets = stats.tx_packets,
          .rx_bytes = stats.rx_bytes,
          .tx_bytes = stats.tx_bytes,
          .rx_errors = stats.rx_errors,
          .tx_errors = stats.tx_errors,
          .rx_dropped = stats.rx_dropped,
          .tx_dropped = stats.tx_dropped};
}

std::string SubKind(const std::string& kind, const Attributes& data) {
  if (kind == "ipvlan") {
    constexpr const char* kModes[] = {"l2", "l3", "l3s"};
    const uint16_t mode = data.U16(IFLA_IPVLAN_MODE).value_or(0);
    return mode < std::size(kModes) ? kModes[mode] : "";
  }
  constexpr uint8_t kTap = 2;  // IFF_TAP
  if (kind == "tun") return data.U8(IFLA_TUN_TYPE).value_or(kTap) == kTap ? "tap" : "tun";
  return "";
}

std::vector<int32_t> Settings(const Attributes& attributes, uint16_t family, uint16_t which) {
  const auto bytes = attributes.Nested(IFLA_AF_SPEC).Nested(family).Find(which);
  std::vector<int32_t> values(bytes ? bytes->size() / sizeof(int32_t) : 0);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = FamilyHeader<int32_t>(bytes->substr(i * sizeof(int32_t)));
  }
  return values;
}

// A whole table as values.
template <class Value, class Header>
Result<std::vector<Value>> List(NetlinkSocket& socket, uint16_t type, const Header& header,
                                std::optional<Value> (*parse)(const NetlinkMessage&)) {
  std::vector<Value> values;
  NetlinkRequest request(type, kDump);
  request.Header(header);
  KATA_TRY(socket.Query(std::move(request), [&](const NetlinkMessage& message) {
    if (auto value = parse(message)) values.push_back(*std::move(value));
  }));
  return values;
}

// Of something that shall exist afterwards, or be gone.
Result<void> AllowCode(Result<void> result, Code code) {
  if (!result && result.error().code() == code) return {};
  return result;
}

NetlinkRequest AddressRequest(uint16_t type, uint16_t flags, const LinkAddress& address,
                              uint32_t address_flags) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.prefix.address.family);
  header.ifa_prefixlen = address.prefix.length;
  header.ifa_scope = address.scope;
  header.ifa_index = static_cast<uint32_t>(address.link);
  NetlinkRequest request(type, flags);
  request.Header(header);
  request.Put(IFA_LOCAL, address.prefix.address.Bytes());
  request.Put(IFA_ADDRESS, address.peer.value_or(address.prefix.address).Bytes());
  if (address.broadcast) request.Put(IFA_BROADCAST, address.broadcast->Bytes());
  if (address_flags != 0) request.PutU32(IFA_FLAGS, address_flags);
  return request;
}

void PutGateway(NetlinkRequest& request, const IpAddress& gateway, int family) {
  // IPv4 through an IPv6 router has an attribute of its own.
  if (gateway.family == family) {
    request.Put(RTA_GATEWAY, gateway.Bytes());
    return;
  }
  const auto its_family = static_cast<uint16_t>(gateway.family);
  request.Put(RTA_VIA, std::string(reinterpret_cast<const char*>(&its_family), sizeof its_family) +
                           std::string(gateway.Bytes()));
}

std::optional<IpAddress> GatewayIn(const Attributes& attributes) {
  const auto via = attributes.Find(RTA_VIA);
  if (via && via->size() > sizeof(uint16_t)) {
    return IpAddress::FromBytes(via->substr(sizeof(uint16_t)));
  }
  return AddressIn(attributes, RTA_GATEWAY);
}

void PutNextHops(NetlinkRequest& request, const Route& route) {
  const size_t hops = request.Begin(RTA_MULTIPATH);
  for (const NextHop& hop : route.next_hops) {
    rtnexthop header{};
    header.rtnh_flags = static_cast<uint8_t>(hop.flags);
    header.rtnh_hops = static_cast<uint8_t>(hop.weight - 1);
    header.rtnh_ifindex = hop.link;
    const size_t begin = request.BeginWith(header);
    if (hop.gateway) PutGateway(request, *hop.gateway, route.destination.address.family);
    request.End(begin);
  }
  request.End(hops);
}

// A broken one ends the list.
std::vector<NextHop> NextHopsIn(std::string_view bytes) {
  std::vector<NextHop> hops;
  while (bytes.size() >= sizeof(rtnexthop)) {
    const auto header = FamilyHeader<rtnexthop>(bytes);
    if (header.rtnh_len < sizeof header || header.rtnh_len > bytes.size()) break;
    hops.push_back(
        {.gateway = GatewayIn(Attributes::After<rtnexthop>(bytes.substr(0, header.rtnh_len))),
         .link = header.rtnh_ifindex,
         .flags = header.rtnh_flags & uint32_t{RTNH_F_ONLINK},
         .weight = header.rtnh_hops + 1U});
    bytes.remove_prefix(std::min<size_t>(RTNH_ALIGN(header.rtnh_len), bytes.size()));
  }
  return hops;
}

NetlinkRequest RouteRequest(uint16_t type, uint16_t flags, const Route& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.destination.address.family);
  header.rtm_dst_len = route.destination.length;
  header.rtm_table = RT_TABLE_UNSPEC;
  header.rtm_protocol = route.protocol;
  header.rtm_scope = route.scope;
  header.rtm_type = route.type;
  header.rtm_flags = route.flags;
  NetlinkRequest request(type, flags);
  request.Header(header);
  request.PutU32(RTA_TABLE, route.table);
  if (route.destination.length > 0) request.Put(RTA_DST, route.destination.address.Bytes());
  if (route.link > 0) request.PutU32(RTA_OIF, static_cast<uint32_t>(route.link));
  if (route.gateway) PutGateway(request, *route.gateway, route.destination.address.family);
  if (!route.next_hops.empty()) PutNextHops(request, route);
  if (route.source) request.Put(RTA_PREFSRC, route.source->Bytes());
  if (route.metric > 0) request.PutU32(RTA_PRIORITY, route.metric);
  if (route.mtu > 0) {
    const size_t metrics = request.Begin(RTA_METRICS);
    request.PutU32(RTAX_MTU, route.mtu);
    request.End(metrics);
  }
  return request;
}

}  // namespace

std::optional<Link> ParseLink(const NetlinkMessage& message) {
  if (message.type != RTM_NEWLINK || message.body.size() < sizeof(ifinfomsg)) return std::nullopt;
  const auto header = FamilyHeader<ifinfomsg>(message.body);
  const auto attributes = Attributes::After<ifinfomsg>(message.body);
  Link link;
  link.index = header.ifi_index;
  link.type = header.ifi_type;
  link.flags = header.ifi_flags;
  link.name = attributes.Text(IFLA_IFNAME);
  const Attributes info = attributes.Nested(IFLA_LINKINFO);
  link.kind = info.Text(IFLA_INFO_KIND);
  link.sub_kind = SubKind(link.kind, info.Nested(IFLA_INFO_DATA));
  link.mtu = attributes.U32(IFLA_MTU).value_or(0);
  link.mac = MacIn(attributes, IFLA_ADDRESS).value_or(MacAddress{});
  link.permanent_mac = MacIn(attributes, IFLA_PERM_ADDRESS);
  link.master = static_cast<int>(attributes.U32(IFLA_MASTER).value_or(0));
  link.ipv4_settings = Settings(attributes, AF_INET, IFLA_INET_CONF);
  link.ipv6_settings = Settings(attributes, AF_INET6, IFLA_INET6_CONF);
  link.ipv6_off = link.ipv6_settings.size() > DEVCONF_DISABLE_IPV6 &&
                  link.ipv6_settings[DEVCONF_DISABLE_IPV6] != 0;
  link.counters = CountersIn(attributes);
  return link;
}

std::optional<LinkAddress> ParseAddress(const NetlinkMessage& message) {
  if (message.type != RTM_NEWADDR || message.body.size() < sizeof(ifaddrmsg)) return std::nullopt;
  const auto header = FamilyHeader<ifaddrmsg>(message.body);
  const auto attributes = Attributes::After<ifaddrmsg>(message.body);
  const auto address = AddressIn(attributes, IFA_ADDRESS);
  // With a peer IFA_ADDRESS is the peer's.
  const auto local = AddressIn(attributes, IFA_LOCAL);
  if (!address && !local) return std::nullopt;
  LinkAddress value;
  value.link = static_cast<int>(header.ifa_index);
  value.prefix = {local ? *local : *address, header.ifa_prefixlen};
  if (local && address && *local != *address) value.peer = address;
  value.broadcast = AddressIn(attributes, IFA_BROADCAST);
  value.scope = header.ifa_scope;
  value.flags = attributes.U32(IFA_FLAGS).value_or(header.ifa_flags);
  return value;
}

std::optional<Route> ParseRoute(const NetlinkMessage& message) {
  if (message.type != RTM_NEWROUTE || message.body.size() < sizeof(rtmsg)) return std::nullopt;
  const auto header = FamilyHeader<rtmsg>(message.body);
  if (header.rtm_family != AF_INET && header.rtm_family != AF_INET6) return std::nullopt;
  const auto attributes = Attributes::After<rtmsg>(message.body);
  Route route;
  route.destination.address.family = header.rtm_family;
  route.destination.length = header.rtm_dst_len;
  if (const auto destination = AddressIn(attributes, RTA_DST)) {
    route.destination.address = *destination;
  }
  route.gateway = GatewayIn(attributes);
  route.source = AddressIn(attributes, RTA_PREFSRC);
  route.link = static_cast<int>(attributes.U32(RTA_OIF).value_or(0));
  route.table = attributes.U32(RTA_TABLE).value_or(header.rtm_table);
  route.type = header.rtm_type;
  route.scope = header.rtm_scope;
  route.protocol = header.rtm_protocol;
  route.flags = header.rtm_flags & RTNH_F_ONLINK;
  route.metric = attributes.U32(RTA_PRIORITY).value_or(0);
  route.mtu = attributes.Nested(RTA_METRICS).U32(RTAX_MTU).value_or(0);
  route.next_hops = NextHopsIn(attributes.Find(RTA_MULTIPATH).value_or(std::string_view()));
  return route;
}

std::optional<Neighbor> ParseNeighbor(const NetlinkMessage& message) {
  if (message.type != RTM_NEWNEIGH || message.body.size() < sizeof(ndmsg)) return std::nullopt;
  const auto header = FamilyHeader<ndmsg>(message.body);
  const auto attributes = Attributes::After<ndmsg>(message.body);
  const auto address = AddressIn(attributes, NDA_DST);
  if (!address) return std::nullopt;
  return Neighbor{.link = header.ndm_ifindex,
                  .address = *address,
                  .mac = MacIn(attributes, NDA_LLADDR).value_or(MacAddress{}),
                  .state = header.ndm_state,
                  .flags = header.ndm_flags};
}

Result<std::vector<Link>> ListLinks(NetlinkSocket& socket) {
  return List(socket, RTM_GETLINK, ifinfomsg{}, &ParseLink);
}

Result<Link> FindLink(NetlinkSocket& socket, const std::string& name) {
  const std::vector<Link> links = KATA_TRY(ListLinks(socket));
  const auto found = std::ranges::find(links, name, &Link::name);
  if (found == links.end()) {
    return Fail(Code::kNotFound, fmt::format("no network interface \"{}\"", name));
  }
  return *found;
}

Result<std::vector<LinkAddress>> ListAddresses(NetlinkSocket& socket) {
  return List(socket, RTM_GETADDR, ifaddrmsg{}, &ParseAddress);
}

Result<std::vector<Route>> ListRoutes(NetlinkSocket& socket) {
  std::vector<Route> routes = KATA_TRY(List(socket, RTM_GETROUTE, rtmsg{}, &ParseRoute));
  std::erase_if(routes, [](const Route& route) {
    return route.table == RT_TABLE_LOCAL || route.type == RTN_LOCAL ||
           route.type == RTN_BROADCAST || route.type == RTN_MULTICAST || route.type == RTN_ANYCAST;
  });
  return routes;
}

Result<std::vector<Neighbor>> ListNeighbors(NetlinkSocket& socket) {
  return List(socket, RTM_GETNEIGH, ndmsg{}, &ParseNeighbor);
}

Result<void> ChangeLink(NetlinkSocket& socket, int link, const LinkChange& change) {
  ifinfomsg header{};
  header.ifi_index = link;
  const auto flag = [&header](std::optional<bool> wanted, uint32_t bits, bool bits_when) {
    if (!wanted) return;
    header.ifi_change |= bits;
    if (*wanted == bits_when) header.ifi_flags |= bits;
  };
  flag(change.up, IFF_UP, true);
  flag(change.arp, IFF_NOARP, false);
  flag(change.promiscuous, IFF_PROMISC, true);
  NetlinkRequest request(RTM_NEWLINK, NLM_F_ACK);
  request.Header(header);
  if (change.name) request.PutText(IFLA_IFNAME, *change.name);
  if (change.mtu) request.PutU32(IFLA_MTU, *change.mtu);
  if (change.mac) request.PutValue(IFLA_ADDRESS, *change.mac);
  if (change.namespace_fd) {
    request.PutU32(IFLA_NET_NS_FD, static_cast<uint32_t>(*change.namespace_fd));
  }
  return socket.Change(std::move(request));
}

Result<void> DeleteLink(NetlinkSocket& socket, int link) {
  ifinfomsg header{};
  header.ifi_index = link;
  NetlinkRequest request(RTM_DELLINK, NLM_F_ACK);
  request.Header(header);
  return socket.Change(std::move(request));
}

Result<void> AddAddress(NetlinkSocket& socket, const LinkAddress& address, bool nodad) {
  const bool ipv6 = address.prefix.address.family == AF_INET6;
  const uint32_t kept = address.flags & (IFA_F_NOPREFIXROUTE | IFA_F_NODAD);
  return AllowCode(
      socket.Change(AddressRequest(RTM_NEWADDR, kCreateFlags, address,
                                   kept | (nodad && ipv6 ? uint32_t{IFA_F_NODAD} : 0))),
      Code::kAlreadyExists);
}

Result<void> DeleteAddress(NetlinkSocket& socket, const LinkAddress& address) {
  return socket.Change(AddressRequest(RTM_DELADDR, NLM_F_ACK, address, 0));
}

Result<void> AddRoute(NetlinkSocket& socket, const Route& route) {
  return AllowCode(socket.Change(RouteRequest(RTM_NEWROUTE, kCreateFlags, route)),
                   Code::kAlreadyExists);
}

Result<void> DeleteRoute(NetlinkSocket& socket, const Route& route) {
  return socket.Change(RouteRequest(RTM_DELROUTE, NLM_F_ACK, route));
}

Result<void> SetNeighbor(NetlinkSocket& socket, const Neighbor& neighbor) {
  ndmsg header{};
  header.ndm_family = static_cast<uint8_t>(neighbor.address.family);
  header.ndm_ifindex = neighbor.link;
  header.ndm_state = neighbor.state;
  header.ndm_flags = neighbor.flags;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
  request.Header(header);
  request.Put(NDA_DST, neighbor.address.Bytes());
  request.PutValue(NDA_LLADDR, neighbor.mac);
  return socket.Change(std::move(request));
}

Result<void> AddVethPair(NetlinkSocket& socket, const std::string& name, const std::string& peer) {
  NetlinkRequest request(RTM_NEWLINK, kCreateFlags);
  request.Header(ifinfomsg{}).PutText(IFLA_IFNAME, name);
  const size_t info = request.Begin(IFLA_LINKINFO);
  request.PutText(IFLA_INFO_KIND, "veth");
  const size_t data = request.Begin(IFLA_INFO_DATA);
  const size_t other = request.Begin(VETH_INFO_PEER);
  request.Header(ifinfomsg{}).PutText(IFLA_IFNAME, peer);
  request.End(other);
  request.End(data);
  request.End(info);
  return socket.Change(std::move(request));
}

Result<void> AddMacvtap(NetlinkSocket& socket, const std::string& name, int lower) {
  NetlinkRequest request(RTM_NEWLINK, kCreateFlags);
  request.Header(ifinfomsg{}).PutText(IFLA_IFNAME, name);
  request.PutU32(IFLA_LINK, static_cast<uint32_t>(lower));
  const size_t info = request.Begin(IFLA_LINKINFO);
  request.PutText(IFLA_INFO_KIND, "macvtap");
  const size_t data = request.Begin(IFLA_INFO_DATA);
  request.PutU32(IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
  request.End(data);
  request.End(info);
  return socket.Change(std::move(request));
}

}  // namespace kata::sys
