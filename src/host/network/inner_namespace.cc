// SPDX-License-Identifier: Apache-2.0
#include "host/network/inner_namespace.h"

#include <linux/fib_rules.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netpacket/packet.h>

#include "sys/files.h"
#include "sys/netns.h"
#include "sys/routing_rule.h"
#include "sys/rtnetlink.h"
#include "sys/socket_steering.h"
#include "sys/tap.h"
#include "sys/traffic_control.h"

namespace kata::network {
namespace {

constexpr const char* kRequestsTap = "requests";
constexpr uint32_t kLocalTable = 100;
constexpr uint32_t kRulePriority = 100;
constexpr int kBacklog = 1024;

struct Setting {
  std::string path;  // below /proc/sys/net
  const char* value;
};

// Needed before the taps have their routes. IPv6 may be missing.
std::vector<Setting> SettingsOf(const std::string& link) {
  return {
      {"ipv4/conf/all/rp_filter", "0"},
      {fmt::format("ipv4/conf/{}/rp_filter", link), "0"},
      // Nobody answers for others: whom the guest asks for an echo is to answer himself.
      {"ipv4/icmp_echo_ignore_all", "1"},
      {"ipv6/icmp/echo_ignore_all", "1"},
      // No address of its own: the guest's would be the same.
      {fmt::format("ipv6/conf/{}/accept_ra", link), "0"},
      {fmt::format("ipv6/conf/{}/addr_gen_mode", link), "1"},
      {fmt::format("ipv6/conf/{}/disable_ipv6", link), "1"},
      {fmt::format("ipv6/conf/{}/disable_ipv6", link), "0"},
  };
}

Result<void> Write(const std::vector<Setting>& settings) {
  for (const Setting& each : settings) {
    auto written = sys::WriteFile("/proc/sys/net/" + each.path, each.value);
    if (!written && written.error().code() != Code::kNotFound) return written;
  }
  return {};
}

bool HasIpv6() { return sys::Exists("/proc/sys/net/ipv6"); }

// What of a packet makes it the first segment of a connection.
std::vector<sys::PacketKey> FirstSegment(uint16_t protocol) {
  if (protocol == ETH_P_IPV6) {
    return {{.offset = 4, .mask = 0x0000ff00, .value = IPPROTO_TCP << 8},
            {.offset = 52, .mask = 0x00170000, .value = 0x00020000}};
  }
  return {{.offset = 0, .mask = 0x0f000000, .value = 0x05000000},
          {.offset = 4, .mask = 0x00003fff, .value = 0},
          {.offset = 8, .mask = 0x00ff0000, .value = IPPROTO_TCP << 16},
          {.offset = 32, .mask = 0x00170000, .value = 0x00020000}};
}

Result<void> TakeAll(sys::NetlinkSocket& socket, int family, const std::string& link, int index) {
  sys::RoutingRule rule;
  rule.family = family;
  rule.priority = kRulePriority;
  rule.action = FR_ACT_TO_TBL;
  rule.table = kLocalTable;
  rule.in = link;
  KATA_TRY(sys::AddRule(socket, rule));
  sys::Route local;
  local.destination.address.family = family;
  local.link = KATA_TRY(sys::FindLink(socket, "lo")).index;
  local.table = kLocalTable;
  local.type = RTN_LOCAL;
  local.scope = RT_SCOPE_HOST;
  local.protocol = RTPROT_STATIC;
  KATA_TRY(sys::AddRoute(socket, local));
  if (index == 0) return {};
  sys::Route out;
  out.destination.address.family = family;
  out.link = index;
  out.table = RT_TABLE_MAIN;
  out.type = RTN_UNICAST;
  out.scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  out.protocol = RTPROT_STATIC;
  return sys::AddRoute(socket, out);
}

Result<void> Furnish(int ns, sys::NetlinkSocket& socket, int link, const sys::MacAddress& mac,
                     uint32_t mtu) {
  KATA_TRY(sys::ChangeLink(socket, link, {.mtu = mtu, .mac = mac, .arp = false}));
  std::string name;
  for (const sys::Link& each : KATA_TRY(sys::ListLinks(socket))) {
    if (each.index == link) name = each.name;
  }
  KATA_TRY(sys::RunInNetns(ns, [&] { return Write(SettingsOf(name)); }));
  return sys::ChangeLink(socket, link, {.up = true});
}

Result<sys::UniqueFd> OpenLink(int link) {
  sys::UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return FailErrno("socket", "packet");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = link;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", "packet");
  }
  return socket;
}

Result<sys::UniqueFd> Listen(int family) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(family, SOCK_STREAM));
  KATA_TRY(sys::SetTransparent(socket.get(), family));
  sys::SocketAddress any;
  any.address.family = family;
  KATA_TRY(sys::Bind(socket.get(), any));
  if (::listen(socket.get(), kBacklog) != 0) return FailErrno("listen");
  return socket;
}

Result<InnerSockets> MakeSockets(int ns, int tap, bool ipv6) {
  InnerSockets sockets;
  sockets.tcp.link = KATA_TRY(OpenLink(tap));
  sockets.tcp.listener4 = KATA_TRY(Listen(AF_INET));
  sockets.udp.socket4 = KATA_TRY(UdpTranslator::MakeInner(AF_INET));
  sockets.echo.socket4 = KATA_TRY(EchoTranslator::MakeInner(AF_INET));
  if (ipv6) {
    sockets.tcp.listener6 = KATA_TRY(Listen(AF_INET6));
    sockets.udp.socket6 = KATA_TRY(UdpTranslator::MakeInner(AF_INET6));
    sockets.echo.socket6 = KATA_TRY(EchoTranslator::MakeInner(AF_INET6));
  }
  sockets.steering = KATA_TRY(sys::SteerSockets(ns, {.tcp4 = sockets.tcp.listener4.get(),
                                                     .udp4 = sockets.udp.socket4.get(),
                                                     .tcp6 = sockets.tcp.listener6.get(),
                                                     .udp6 = sockets.udp.socket6.get()}));
  return sockets;
}

}  // namespace

Result<InnerSockets> MakeInner(int ns, sys::NetlinkSocket& socket, int tap,
                               const sys::MacAddress& mac, uint32_t mtu) {
  const bool ipv6 = HasIpv6();
  const sys::Link loopback = KATA_TRY(sys::FindLink(socket, "lo"));
  KATA_TRY(sys::ChangeLink(socket, loopback.index, {.up = true}));
  auto taps = KATA_TRY(sys::RunInNetns(ns, [] { return sys::MakeTap(kRequestsTap, 1); }));
  const int requests = KATA_TRY(sys::FindLink(socket, kRequestsTap)).index;
  KATA_TRY(Furnish(ns, socket, requests, mac, mtu));
  KATA_TRY(Furnish(ns, socket, tap, mac, mtu));
  std::string name;
  for (const sys::Link& each : KATA_TRY(sys::ListLinks(socket))) {
    if (each.index == tap) name = each.name;
  }
  for (const int family : ipv6 ? std::vector<int>{AF_INET, AF_INET6} : std::vector<int>{AF_INET}) {
    KATA_TRY(TakeAll(socket, family, name, tap));
    KATA_TRY(TakeAll(socket, family, kRequestsTap, 0));
  }
  KATA_TRY(sys::EnsureHooks(socket, tap));
  uint32_t place = 0;
  for (const uint16_t protocol : {ETH_P_IP, ETH_P_IPV6}) {
    KATA_TRY(sys::RedirectSome(socket, tap, requests, ++place, protocol, FirstSegment(protocol)));
  }
  InnerSockets sockets = KATA_TRY(sys::RunInNetns(ns, [&] { return MakeSockets(ns, tap, ipv6); }));
  sockets.tcp.requests = std::move(taps.front());
  return sockets;
}

}  // namespace kata::network
