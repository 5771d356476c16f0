// SPDX-License-Identifier: Apache-2.0
//
// Real links in network namespaces that the tests make. Needs root.
#include "sys/testing/network_test.h"

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netpacket/packet.h>

#include "sys/netns.h"
#include "sys/routing_rule.h"
#include "sys/tap.h"
#include "sys/traffic_control.h"

namespace kata::sys {
namespace {

class Network : public testing::NetworkTest {
 protected:
  Link MakeVeth(const std::string& name) {
    const auto made = AddVethPair(*socket_, name, name + "-peer");
    EXPECT_TRUE(made) << made.error().message();
    return Find(name);
  }
  void Up(const std::string& name) {
    const auto changed = ChangeLink(*socket_, Find(name).index, {.up = true});
    EXPECT_TRUE(changed) << changed.error().message();
  }
  Result<std::vector<UniqueFd>> Tap(const std::string& name, uint32_t queues = 1) {
    return RunInNetns(ns_.get(), [&] { return MakeTap(name, queues); });
  }
};

TEST_F(Network, ASocketStaysInTheNamespaceWhereItWasMade) {
  EXPECT_EQ(ListLinks(*socket_)->size(), 1U);
  EXPECT_EQ(Find("lo").type, ARPHRD_LOOPBACK);
  const auto own = OpenNetworkNamespace("/proc/self/ns/net");
  ASSERT_TRUE(own);
  EXPECT_NE(*IdOfNamespace(ns_.get()), *IdOfNamespace(own->get()));
}

TEST_F(Network, LinksCanBeChangedAndFound) {
  const Link link = MakeVeth("eth0");
  EXPECT_EQ(link.kind, "veth");
  const MacAddress mac = *ParseMac("02:00:00:00:00:07");
  const auto changed = ChangeLink(
      *socket_, link.index, {.name = "eth7", .mtu = 1400, .mac = mac, .up = true, .arp = false});
  ASSERT_TRUE(changed) << changed.error().message();
  const Link now = Find("eth7");
  EXPECT_EQ(now.index, link.index);
  EXPECT_EQ(now.mtu, 1400U);
  EXPECT_EQ(now.mac, mac);
  EXPECT_TRUE(now.flags & IFF_UP);
  EXPECT_TRUE(now.flags & IFF_NOARP);
  EXPECT_EQ(FindLink(*socket_, "eth0").error().code(), Code::kNotFound);
}

TEST_F(Network, ErrorsCarryTheKernelsWords) {
  MakeVeth("eth0");
  const auto again = AddVethPair(*socket_, "eth0", "other");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  const auto huge = ChangeLink(*socket_, Find("eth0").index, {.mtu = 1 << 30});
  ASSERT_FALSE(huge);
  EXPECT_NE(huge.error().message().find("mtu greater than device maximum"), std::string::npos)
      << huge.error().message();
}

TEST_F(Network, AddressesRoutesAndNeighborsComeBackAsTheyWere) {
  const Link link = MakeVeth("eth0");
  Up("eth0");
  Up("eth0-peer");
  for (const char* text : {"10.5.0.2/24", "10.6.0.2/16", "2001:db8::2/64"}) {
    const auto added =
        AddAddress(*socket_, {.link = link.index, .prefix = *IpPrefix::Parse(text)}, true);
    ASSERT_TRUE(added) << added.error().message();
  }
  std::vector<std::string> addresses;
  const auto listed = ListAddresses(*socket_);
  ASSERT_TRUE(listed);
  for (const LinkAddress& address : *listed) {
    if (address.link == link.index && !address.prefix.address.IsLinkLocal()) {
      addresses.push_back(address.prefix.Text());
    }
  }
  EXPECT_EQ(addresses, (std::vector<std::string>{"10.5.0.2/24", "10.6.0.2/16", "2001:db8::2/64"}));

  std::vector<Route> wanted = {
      {.destination = *IpPrefix::Parse("0.0.0.0/0"),
       .gateway = IpAddress::Parse("10.5.0.1"),
       .link = link.index,
       .table = RT_TABLE_MAIN,
       .type = RTN_UNICAST,
       .protocol = RTPROT_BOOT,
       .metric = 50,
       .mtu = 1300},
      {.destination = *IpPrefix::Parse("192.168.9.1/32"),
       .source = IpAddress::Parse("10.6.0.2"),
       .link = link.index,
       .table = RT_TABLE_MAIN,
       .type = RTN_UNICAST,
       .scope = RT_SCOPE_LINK,
       .protocol = RTPROT_STATIC},
      {.destination = *IpPrefix::Parse("172.31.0.0/16"),
       .gateway = IpAddress::Parse("192.0.2.1"),
       .link = link.index,
       .table = RT_TABLE_MAIN,
       .type = RTN_UNICAST,
       .protocol = RTPROT_BOOT,
       .flags = RTNH_F_ONLINK},
      {.destination = *IpPrefix::Parse("2001:db8:1::/48"),
       .gateway = IpAddress::Parse("2001:db8::1"),
       .link = link.index,
       .table = RT_TABLE_MAIN,
       .type = RTN_UNICAST,
       .protocol = RTPROT_BOOT,
       .metric = 1024},
  };
  const NextHop near = {.gateway = IpAddress::Parse("10.5.0.1"), .link = link.index, .weight = 2};
  const NextHop far = {
      .gateway = IpAddress::Parse("192.0.2.77"), .link = link.index, .flags = RTNH_F_ONLINK};
  const NextHop near6 = {.gateway = IpAddress::Parse("2001:db8::1"), .link = link.index};
  const NextHop far6 = {
      .gateway = IpAddress::Parse("2001:db8::7"), .link = link.index, .weight = 9};
  wanted.push_back({.destination = *IpPrefix::Parse("10.7.0.0/16"),
                    .table = 300,
                    .type = RTN_UNICAST,
                    .protocol = RTPROT_BOOT,
                    .next_hops = {near, far}});
  wanted.push_back({.destination = *IpPrefix::Parse("2001:db8:2::/48"),
                    .table = RT_TABLE_MAIN,
                    .type = RTN_UNICAST,
                    .protocol = RTPROT_BOOT,
                    .metric = 1024,
                    .next_hops = {near6, far6}});
  for (const Route& route : wanted) {
    const auto added = AddRoute(*socket_, route);
    ASSERT_TRUE(added) << route.destination.Text() << ": " << added.error().message();
    EXPECT_TRUE(AddRoute(*socket_, route)) << "one that is there already is success";
  }
  auto routes = ListRoutes(*socket_);
  ASSERT_TRUE(routes);
  for (const Route& route : wanted) {
    EXPECT_NE(std::ranges::find(*routes, route), routes->end()) << route.destination.Text();
  }
  for (const Route& route : wanted) EXPECT_TRUE(DeleteRoute(*socket_, route));
  routes = ListRoutes(*socket_);
  for (const Route& route : wanted) {
    EXPECT_EQ(std::ranges::find(*routes, route), routes->end()) << route.destination.Text();
  }

  const Neighbor neighbor{.link = link.index,
                          .address = *IpAddress::Parse("10.5.0.9"),
                          .mac = *ParseMac("02:00:00:00:00:09"),
                          .state = NUD_PERMANENT};
  ASSERT_TRUE(SetNeighbor(*socket_, neighbor));
  ASSERT_TRUE(SetNeighbor(*socket_, neighbor)) << "replaces";
  const auto neighbors = ListNeighbors(*socket_);
  ASSERT_TRUE(neighbors);
  EXPECT_NE(std::ranges::find(*neighbors, neighbor), neighbors->end());
}

TEST_F(Network, RulesComeBackAsTheyWereMade) {
  const std::vector<RoutingRule> before = *ListRules(*socket_);
  EXPECT_EQ(before.size(), 5U) << "three of IPv4, two of IPv6";
  RoutingRule lookup;
  lookup.family = AF_INET;
  lookup.priority = 100;
  lookup.action = FR_ACT_TO_TBL;
  lookup.table = 300;
  lookup.protocol = RTPROT_BOOT;
  lookup.from = IpPrefix::Parse("10.5.0.0/24");
  lookup.in = "eth0";
  lookup.tos = 16;
  lookup.mark = 7;
  lookup.mark_mask = 0xff;
  lookup.ip_protocol = 6;
  lookup.source_ports = {1, 1023};
  lookup.destination_ports = {80, 80};
  lookup.users = {5, 9};
  lookup.suppressed_length = 0;
  RoutingRule jump;
  jump.family = AF_INET6;
  jump.priority = 50;
  jump.action = FR_ACT_GOTO;
  jump.target = 60;
  jump.inverted = true;
  jump.to = IpPrefix::Parse("2001:db8::/32");
  jump.out = "eth1";
  jump.suppressed_group = 3;
  RoutingRule prohibit;
  prohibit.family = AF_INET6;
  prohibit.priority = 60;
  prohibit.action = FR_ACT_PROHIBIT;
  const std::vector<RoutingRule> wanted = {lookup, prohibit, jump};
  for (const RoutingRule& rule : wanted) {
    const auto added = AddRule(*socket_, rule);
    ASSERT_TRUE(added) << rule.priority << ": " << added.error().message();
    EXPECT_TRUE(AddRule(*socket_, rule)) << "one that is there already is success";
  }
  auto rules = *ListRules(*socket_);
  for (const RoutingRule& rule : wanted) {
    EXPECT_EQ(std::ranges::count(rules, rule), 1) << rule.priority;
    const auto deleted = DeleteRule(*socket_, rule);
    EXPECT_TRUE(deleted) << rule.priority << ": " << deleted.error().message();
  }
  EXPECT_EQ(*ListRules(*socket_), before);
  EXPECT_EQ(DeleteRule(*socket_, lookup).error().code(), Code::kNotFound);
}

TEST_F(Network, ATapLivesAsLongAsItsDescriptors) {
  auto tap = Tap("tap0", 2);
  ASSERT_TRUE(tap) << tap.error().message();
  EXPECT_EQ(tap->size(), 2U);
  EXPECT_EQ(Find("tap0").kind, "tun");
  EXPECT_EQ(Find("tap0").sub_kind, "tap");
  const auto second = Tap("tap0");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
  tap->clear();
  EXPECT_FALSE(FindLink(*socket_, "tap0"));
}

TEST_F(Network, AMacvtapNeedsNoFileOfTheHost) {
  const Link lower = MakeVeth("eth0");
  ASSERT_TRUE(AddMacvtap(*socket_, "mvt0", lower.index));
  const auto fds = RunInNetns(ns_.get(), [] { return OpenMacvtap("mvt0", 2); });
  ASSERT_TRUE(fds) << fds.error().message();
  EXPECT_EQ(fds->size(), 2U);
  EXPECT_EQ(Find("mvt0").mac, lower.mac);
}

// A descriptor that sees every frame that comes to the link.
UniqueFd OpenPacketSocket(int link) {
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5)));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(0x88b5);
  address.sll_ifindex = link;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

// A frame of a protocol for experiments.
std::string Frame(const std::string& text) {
  return std::string("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x09\x88\xb5", 14) + text +
         std::string(60, ' ');
}

std::string ReadFrame(int fd, size_t header) {
  if (!WaitFor(fd, POLLIN, Deadline::After(std::chrono::seconds(5)))) return "nothing came";
  std::string frame(4096, '\0');
  const ssize_t size = ::read(fd, frame.data(), frame.size());
  frame.resize(size < 0 ? 0 : static_cast<size_t>(size));
  frame.erase(0, std::min(header + 14, frame.size()));
  return frame.substr(0, frame.find(' '));
}

TEST_F(Network, ARedirectMovesFramesBothWays) {
  const Link eth = MakeVeth("eth0");
  const auto tap = Tap("tap0");
  ASSERT_TRUE(tap) << tap.error().message();
  const Link tap_link = Find("tap0");
  for (const char* name : {"eth0", "eth0-peer", "tap0"}) Up(name);
  for (const auto& [from, to] : {std::pair{eth, tap_link}, std::pair{tap_link, eth}}) {
    auto made = AddIngressQdisc(*socket_, from.index);
    ASSERT_TRUE(made) << made.error().message();
    made = RedirectIngress(*socket_, from.index, to.index);
    ASSERT_TRUE(made) << made.error().message();
  }
  EXPECT_EQ(AddIngressQdisc(*socket_, eth.index).error().code(), Code::kAlreadyExists);

  const UniqueFd peer = *RunInNetns(
      ns_.get(), [&]() -> Result<UniqueFd> { return OpenPacketSocket(Find("eth0-peer").index); });
  constexpr size_t kVirtioHeader = 10;
  const std::string out = std::string(kVirtioHeader, '\0') + Frame("out");
  ASSERT_EQ(::write((*tap)[0].get(), out.data(), out.size()), static_cast<ssize_t>(out.size()));
  EXPECT_EQ(ReadFrame(peer.get(), 0), "out");
  const std::string in = Frame("in");
  ASSERT_EQ(::write(peer.get(), in.data(), in.size()), static_cast<ssize_t>(in.size()));
  std::string came;
  // The link itself announces its IPv6 address.
  for (int tries = 0; tries < 20 && came != "in"; ++tries) {
    came = ReadFrame((*tap)[0].get(), kVirtioHeader);
  }
  EXPECT_EQ(came, "in");

  EXPECT_TRUE(DeleteIngressQdisc(*socket_, eth.index));
  EXPECT_FALSE(DeleteIngressQdisc(*socket_, eth.index));
}

TEST_F(Network, EventsTellOfChanges) {
  const auto events =
      RunInNetns(ns_.get(), [] { return OpenNetlinkEvents(RTMGRP_LINK | RTMGRP_IPV4_IFADDR); });
  ASSERT_TRUE(events);
  EXPECT_FALSE(DrainNetlinkEvents(events->get()));
  MakeVeth("eth0");
  ASSERT_TRUE(WaitFor(events->get(), POLLIN, Deadline::After(std::chrono::seconds(5))));
  EXPECT_TRUE(DrainNetlinkEvents(events->get()));
  EXPECT_FALSE(DrainNetlinkEvents(events->get()));
}

TEST_F(Network, OtherFilesAreNoNamespaces) {
  EXPECT_EQ(OpenNetworkNamespace("/proc/self/ns/uts").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(OpenNetworkNamespace("/dev/null").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(OpenNetworkNamespace("/nothing/here").error().code(), Code::kNotFound);
  EXPECT_TRUE(OpenNetworkNamespace("/proc/self/ns/net"));
}

}  // namespace
}  // namespace kata::sys
