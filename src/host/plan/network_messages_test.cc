// SPDX-License-Identifier: Apache-2.0
#include "host/plan/network_messages.h"

#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

network::Endpoint Eth0() {
  network::Endpoint endpoint;
  endpoint.link = {.index = 5,
                   .name = "eth0",
                   .kind = "veth",
                   .flags = IFF_UP | IFF_NOARP | IFF_BROADCAST,
                   .mtu = 1450,
                   .mac = {2, 0x42, 0xac, 0x11, 0, 2},
                   .ipv6_off = true};
  endpoint.addresses = {{.link = 5,
                         .prefix = *sys::IpPrefix::Parse("172.17.0.2/16"),
                         .broadcast = sys::IpAddress::Parse("172.17.255.255")},
                        {.link = 5, .prefix = *sys::IpPrefix::Parse("2001:db8::2/64")}};
  endpoint.neighbors = {{.link = 5,
                         .address = *sys::IpAddress::Parse("172.17.0.9"),
                         .mac = {2, 0, 0, 0, 0, 9},
                         .state = NUD_PERMANENT}};
  return endpoint;
}

TEST(NetworkMessages, AnInterfaceIsNamedByItsHardwareAndGetsTheEndpointsAddress) {
  const types::Interface interface = InterfaceFor(Eth0(), {2, 0, 0, 0, 0, 1}, "0f/00");
  EXPECT_EQ(interface.name(), "eth0");
  EXPECT_EQ(interface.hw_addr(), "02:42:ac:11:00:02");
  EXPECT_EQ(interface.permanent_hw_addr(), "02:00:00:00:00:01");
  EXPECT_EQ(interface.device_path(), "0f/00");
  EXPECT_EQ(interface.mtu(), 1450U);
  EXPECT_EQ(interface.raw_flags(), static_cast<uint32_t>(IFF_NOARP));
  EXPECT_TRUE(interface.ipv6_off());
  ASSERT_EQ(interface.ip_addresses_size(), 2);
  EXPECT_EQ(interface.ip_addresses(0).address(), "172.17.0.2");
  EXPECT_EQ(interface.ip_addresses(0).mask(), "16");
  EXPECT_EQ(interface.ip_addresses(0).broadcast(), "172.17.255.255");
  EXPECT_EQ(interface.ip_addresses(1).family(), types::v6);
}

TEST(NetworkMessages, RoutesOfInterfacesThatAreNotConnectedAreLeftOut) {
  network::NamespaceView view;
  view.routes = {
      {.destination = *sys::IpPrefix::Parse("0.0.0.0/0"),
       .gateway = sys::IpAddress::Parse("172.17.0.1"),
       .link = 5,
       .type = RTN_UNICAST,
       .protocol = RTPROT_BOOT,
       .metric = 7},
      {.destination = *sys::IpPrefix::Parse("10.0.0.0/8"), .link = 6, .type = RTN_UNICAST},
      {.destination = *sys::IpPrefix::Parse("10.1.0.0/16"), .type = RTN_BLACKHOLE}};
  for (sys::Route& route : view.routes) route.table = RT_TABLE_MAIN;
  const agent::Routes all = RoutesFor(view, {{5, "eth0"}});
  EXPECT_TRUE(all.complete());
  ASSERT_EQ(all.routes_size(), 2);
  EXPECT_EQ(all.routes(0).dest(), "");
  EXPECT_EQ(all.routes(0).gateway(), "172.17.0.1");
  EXPECT_EQ(all.routes(0).device(), "eth0");
  EXPECT_EQ(all.routes(0).metric(), 7U);
  EXPECT_EQ(all.routes(0).type(), 0U);
  EXPECT_EQ(all.routes(1).dest(), "10.1.0.0/16");
  EXPECT_EQ(all.routes(1).type(), static_cast<uint32_t>(RTN_BLACKHOLE));
}

TEST(NetworkMessages, RoutesOfOtherTablesAreApartFromTheMainOnes) {
  network::NamespaceView view;
  view.routes = {{.destination = *sys::IpPrefix::Parse("10.0.0.0/8"),
                  .table = 300,
                  .next_hops = {{.link = 5}, {.link = 6}}},
                 {.destination = *sys::IpPrefix::Parse("10.1.0.0/16"),
                  .table = 300,
                  .next_hops = {{.link = 5}, {.link = 7}}}};
  view.rules.emplace_back().priority = 100;
  const agent::Routes all = RoutesFor(view, {{5, "eth0"}, {6, "eth1"}});
  EXPECT_EQ(all.routes_size(), 0);
  ASSERT_EQ(all.table_routes_size(), 1);
  EXPECT_EQ(all.table_routes(0).table(), 300U);
  EXPECT_EQ(all.table_routes(0).next_hops(1).device(), "eth1");
  ASSERT_EQ(all.rules_size(), 1);
  EXPECT_EQ(all.rules(0).priority(), 100U);
}

TEST(NetworkMessages, NeighborsCarryTheirInterface) {
  network::NamespaceView view;
  view.endpoints = {Eth0()};
  const agent::ARPNeighbors all = NeighborsFor(view);
  ASSERT_EQ(all.arp_neighbors_size(), 1);
  EXPECT_EQ(all.arp_neighbors(0).device(), "eth0");
  EXPECT_EQ(all.arp_neighbors(0).lladdr(), "02:00:00:00:00:09");
  EXPECT_EQ(all.arp_neighbors(0).state(), NUD_PERMANENT);
}

}  // namespace
}  // namespace kata::sandbox
