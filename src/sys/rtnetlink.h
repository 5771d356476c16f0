// SPDX-License-Identifier: Apache-2.0
//
// sys/rtnetlink.h - links, addresses, routes and neighbours as values, and the calls on them.
//
// The Parse functions and the values know no sockets. What the kernel sends and we have no field
// for is left out. The functions that take a socket work in that socket's network namespace.
// Basis: rtnetlink(7), kernel include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour}.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/ip_address.h"
#include "sys/netlink_message.h"
#include "sys/netlink_socket.h"

namespace kata::sys {

struct LinkCounters {
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_bytes = 0;
  uint64_t rx_errors = 0;
  uint64_t tx_errors = 0;
  uint64_t rx_dropped = 0;
  uint64_t tx_dropped = 0;

  friend bool operator==(const LinkCounters&, const LinkCounters&) = default;
};

struct Link {
  int index = 0;
  std::string name;
  std::string kind;      // "veth", "macvlan", ...; empty for hardware and the loopback
  std::string sub_kind;  // of ipvlan "l2", "l3", "l3s"; of tun "tap", "tun"
  uint16_t type = 0;     // ARPHRD_*
  uint32_t flags = 0;    // IFF_*
  uint32_t mtu = 0;
  MacAddress mac{};  // zeroes where it has none
  // As the hardware came; absent where the kernel does not tell.
  std::optional<MacAddress> permanent_mac;
  int master = 0;  // index of a bridge or bond that it is a port of
  bool ipv6_off = false;
  // net.ipv4.conf.NAME.*, IPV4_DEVCONF_* - 1 of linux/ip.h telling which, and net.ipv6.conf.NAME.*,
  // by DEVCONF_* of linux/ipv6.h; shorter where the kernel has fewer.
  std::vector<int32_t> ipv4_settings;
  std::vector<int32_t> ipv6_settings;
  LinkCounters counters;

  friend bool operator==(const Link&, const Link&) = default;
};

struct LinkAddress {
  int link = 0;
  IpPrefix prefix;
  std::optional<IpAddress> peer;       // of a point-to-point link
  std::optional<IpAddress> broadcast;  // IPv4
  uint8_t scope = 0;                   // RT_SCOPE_*
  uint32_t flags = 0;                  // IFA_F_*

  friend bool operator==(const LinkAddress&, const LinkAddress&) = default;
};

// One of several ways that a route's packets may take.
struct NextHop {
  std::optional<IpAddress> gateway;
  int link = 0;
  uint32_t flags = 0;   // RTNH_F_ONLINK
  uint32_t weight = 1;  // 1 to 256, in proportion to the others'

  friend auto operator<=>(const NextHop&, const NextHop&) = default;
};

struct Route {
  IpPrefix destination;  // length 0: the default route
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> source;  // preferred
  int link = 0;                     // 0: none, or several (see `next_hops`)
  uint32_t table = 0;               // RT_TABLE_*
  uint8_t type = 0;                 // RTN_*
  uint8_t scope = 0;
  uint8_t protocol = 0;  // RTPROT_*
  uint32_t flags = 0;    // RTNH_F_ONLINK
  uint32_t metric = 0;
  uint32_t mtu = 0;
  std::vector<NextHop> next_hops;  // of a route with several; then it has no gateway and link

  friend bool operator==(const Route&, const Route&) = default;
};

struct Neighbor {
  int link = 0;
  IpAddress address;
  MacAddress mac{};
  uint16_t state = 0;  // NUD_*
  uint8_t flags = 0;   // NTF_*

  friend bool operator==(const Neighbor&, const Neighbor&) = default;
};

// Absent where the message is of another kind or broken.
std::optional<Link> ParseLink(const NetlinkMessage& message);
std::optional<LinkAddress> ParseAddress(const NetlinkMessage& message);
std::optional<Route> ParseRoute(const NetlinkMessage& message);
std::optional<Neighbor> ParseNeighbor(const NetlinkMessage& message);

Result<std::vector<Link>> ListLinks(NetlinkSocket& socket);
// Errors  kNotFound
Result<Link> FindLink(NetlinkSocket& socket, const std::string& name);
Result<std::vector<LinkAddress>> ListAddresses(NetlinkSocket& socket);
// Of all tables but the local one, without local, broadcast and multicast ones.
Result<std::vector<Route>> ListRoutes(NetlinkSocket& socket);
Result<std::vector<Neighbor>> ListNeighbors(NetlinkSocket& socket);

// What is to become of a link; absent: as it is.
struct LinkChange {
  std::optional<std::string> name;
  std::optional<uint32_t> mtu;
  std::optional<MacAddress> mac;
  std::optional<bool> up;
  std::optional<bool> arp;
  std::optional<bool> promiscuous;
  std::optional<int> namespace_fd;  // moves it there
};
Result<void> ChangeLink(NetlinkSocket& socket, int link, const LinkChange& change);
// Errors  kNotFound
Result<void> DeleteLink(NetlinkSocket& socket, int link);

// `nodad`: an IPv6 address is of use at once. One that is there already is success.
Result<void> AddAddress(NetlinkSocket& socket, const LinkAddress& address, bool nodad);
Result<void> DeleteAddress(NetlinkSocket& socket, const LinkAddress& address);
// One that is there already is success.
Result<void> AddRoute(NetlinkSocket& socket, const Route& route);
Result<void> DeleteRoute(NetlinkSocket& socket, const Route& route);
// Replaces what is known of the address.
Result<void> SetNeighbor(NetlinkSocket& socket, const Neighbor& neighbor);

// New links. `name` must be free: kAlreadyExists.
Result<void> AddVethPair(NetlinkSocket& socket, const std::string& name, const std::string& peer);
// A macvtap of mode "passthru" on `lower`, down.
Result<void> AddMacvtap(NetlinkSocket& socket, const std::string& name, int lower);

}  // namespace kata::sys
