// SPDX-License-Identifier: Apache-2.0
#include "host/network/endpoints.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

sys::Link Ethernet(int index, const std::string& name, const std::string& kind) {
  return {.index = index,
          .name = name,
          .kind = kind,
          .type = ARPHRD_ETHER,
          .flags = IFF_UP,
          .mtu = 1500,
          .mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(index)}};
}

sys::Link Loopback() {
  return {.index = 1, .name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_UP | IFF_LOOPBACK};
}

std::vector<std::string> NamesOf(const NamespaceView& view) {
  std::vector<std::string> names;
  for (const Endpoint& endpoint : view.endpoints) names.push_back(endpoint.link.name);
  return names;
}

NamespaceView OfLinks(const std::vector<sys::Link>& links) {
  return ViewOf({.links = links, .addresses = {}, .routes = {}, .rules = {}, .neighbors = {}});
}

TEST(Endpoints, EveryEthernetInterfaceIsOne) {
  const auto view = OfLinks({Loopback(), Ethernet(2, "eth0", "veth"), Ethernet(3, "m0", "macvlan"),
                             Ethernet(4, "i0", "ipvlan"), Ethernet(5, "t0", "tun"),
                             Ethernet(6, "d0", "dummy"), Ethernet(7, "ens3", "")});
  EXPECT_THAT(NamesOf(view), ElementsAre("eth0", "m0", "i0", "t0", "d0", "ens3"));
  EXPECT_THAT(view.links, ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(view.notes, IsEmpty());
}

TEST(Endpoints, OursAndThoseThatAreDownAreNone) {
  sys::Link down = Ethernet(3, "eth1", "veth");
  down.flags = 0;
  const auto view =
      OfLinks({Ethernet(2, "tap0_kata", "tun"), down, Ethernet(4, "tapx_kata", "tun")});
  EXPECT_THAT(NamesOf(view), ElementsAre("tapx_kata"));
}

TEST(Endpoints, PortsAndOtherKindsAreLeftAloneWithAWord) {
  sys::Link port = Ethernet(2, "port0", "veth");
  port.master = 9;
  sys::Link tunnel = Ethernet(3, "wg0", "wireguard");
  tunnel.type = ARPHRD_NONE;
  const auto view = OfLinks({port, tunnel});
  EXPECT_THAT(view.endpoints, IsEmpty());
  EXPECT_THAT(view.notes, ElementsAre(HasSubstr("port0 belongs to another one"),
                                      HasSubstr("wg0 is no Ethernet interface")));
}

TEST(Endpoints, DevicesThatTheKernelMakesEverywhereAreNotMentioned) {
  sys::Link fallback = Ethernet(2, "gretap0", "gretap");
  fallback.flags = 0;
  fallback.mac = {};
  sys::Link tunnel = Ethernet(3, "sit0", "sit");
  tunnel.type = ARPHRD_SIT;
  tunnel.flags = 0;
  const auto view = OfLinks({fallback, tunnel});
  EXPECT_THAT(view.endpoints, IsEmpty());
  EXPECT_THAT(view.notes, IsEmpty());
}

TEST(Endpoints, AddressesThatTheGuestMakesItselfStayOut) {
  const auto address = [](const char* text, uint32_t flags) {
    return sys::LinkAddress{.link = 2, .prefix = *sys::IpPrefix::Parse(text), .flags = flags};
  };
  sys::LinkAddress other = address("10.0.0.9/24", IFA_F_PERMANENT);
  other.link = 3;
  const auto view = ViewOf({.links = {Ethernet(2, "eth0", "veth")},
                            .addresses = {address("10.0.0.2/24", IFA_F_PERMANENT),
                                          address("10.0.0.3/24", 0),  // with a lease
                                          address("fe80::1/64", IFA_F_PERMANENT),
                                          address("2001:db8::2/64", IFA_F_PERMANENT),
                                          address("2001:db8::ff/64", IFA_F_MANAGETEMPADDR), other},
                            .routes = {},
                            .rules = {},
                            .neighbors = {}});
  std::vector<std::string> texts;
  for (const auto& each : view.endpoints[0].addresses) texts.push_back(each.prefix.Text());
  EXPECT_THAT(texts, ElementsAre("10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"));
}

TEST(Endpoints, RoutesOfEndpointsAndOfNoInterfaceAreTaken) {
  const auto route = [](const char* text, int link, uint8_t protocol,
                        uint32_t table = RT_TABLE_MAIN) {
    return sys::Route{.destination = *sys::IpPrefix::Parse(text),
                      .link = link,
                      .table = table,
                      .protocol = protocol};
  };
  sys::Route both = route("10.9.0.0/16", 0, RTPROT_BOOT);
  both.next_hops = {{.link = 2}, {.link = 3}};
  sys::Route half = route("10.8.0.0/16", 0, RTPROT_BOOT);
  half.next_hops = {{.link = 2}, {.link = 1}};
  sys::RoutingRule rule;
  rule.table = 300;
  const auto view =
      ViewOf({.links = {Loopback(), Ethernet(2, "eth0", "veth"), Ethernet(3, "eth1", "veth")},
              .addresses = {},
              .routes = {route("0.0.0.0/0", 2, RTPROT_BOOT), route("10.0.0.0/24", 2, RTPROT_KERNEL),
                         route("10.1.0.0/16", 0, RTPROT_STATIC), route("::/0", 2, RTPROT_RA),
                         route("10.2.0.0/16", 1, RTPROT_BOOT), both, half,
                         route("10.3.0.0/16", 2, RTPROT_BOOT, 300),
                         route("10.4.0.0/16", 2, RTPROT_BOOT, 400)},
              .rules = {rule},
              .neighbors = {}});
  std::vector<std::string> texts;
  for (const auto& each : view.routes) texts.push_back(each.destination.Text());
  EXPECT_THAT(texts,
              ElementsAre("0.0.0.0/0", "10.0.0.0/24", "10.1.0.0/16", "10.9.0.0/16", "10.3.0.0/16"));
  EXPECT_THAT(view.notes, ElementsAre(HasSubstr("10.8.0.0/16")));
  EXPECT_EQ(view.rules.size(), 1U);
}

TEST(Endpoints, OnlyNeighborsThatSomebodyEnteredAreTaken) {
  const auto neighbor = [](const char* text, uint16_t state) {
    return sys::Neighbor{.link = 2,
                         .address = *sys::IpAddress::Parse(text),
                         .mac = {2, 0, 0, 0, 0, 9},
                         .state = state};
  };
  sys::Neighbor empty = neighbor("10.0.0.8", NUD_PERMANENT);
  empty.mac = {};
  const auto view = ViewOf(
      {.links = {Ethernet(2, "eth0", "veth")},
       .addresses = {},
       .routes = {},
       .rules = {},
       .neighbors = {neighbor("10.0.0.7", NUD_PERMANENT), neighbor("10.0.0.1", NUD_REACHABLE),
                     empty, neighbor("ff02::16", NUD_NOARP)}});
  ASSERT_EQ(view.endpoints[0].neighbors.size(), 1U);
  EXPECT_EQ(view.endpoints[0].neighbors[0].address.Text(), "10.0.0.7");
}

TEST(Endpoints, WhatCannotBeConnectedIsRefusedWithTheRemedy) {
  Endpoint endpoint{.link = Ethernet(2, "eth0", "ipvlan"), .addresses = {}, .neighbors = {}};
  for (const char* mode : {"l2", "l3"}) {
    endpoint.link.sub_kind = mode;
    EXPECT_TRUE(CheckEndpoint(endpoint)) << mode;
  }
  endpoint.link.sub_kind = "l3s";
  const auto refused = CheckEndpoint(endpoint);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("\"eth0\" is an ipvlan of mode l3s"));
  EXPECT_THAT(refused.error().message(), HasSubstr("mode l3 or l2"));
}

TEST(TapNames, AreKnownAgain) {
  EXPECT_EQ(TapName(3), "tap3_kata");
  EXPECT_TRUE(IsTapName("tap0_kata"));
  EXPECT_TRUE(IsTapName("tap12_kata"));
  for (const char* name : {"tap_kata", "tapx_kata", "tap0", "mytap0_kata", "tap0_katas"}) {
    EXPECT_FALSE(IsTapName(name)) << name;
  }
}

}  // namespace
}  // namespace kata::network
