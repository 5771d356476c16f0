// SPDX-License-Identifier: Apache-2.0
#include "host/network/socket_view.h"

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::ElementsAre;

sys::Link UpLink(int index, const std::string& name, uint32_t flags = IFF_UP) {
  sys::Link link;
  link.index = index;
  link.name = name;
  link.flags = flags;
  link.type = ARPHRD_ETHER;
  link.mtu = 1400;
  return link;
}
sys::LinkAddress AddressOn(int link, const std::string& prefix) {
  sys::LinkAddress address;
  address.link = link;
  address.prefix = *sys::IpPrefix::Parse(prefix);
  address.flags = IFA_F_PERMANENT;
  return address;
}
sys::Route RouteBy(int link, const std::string& destination, const std::string& gateway = "") {
  sys::Route route;
  route.link = link;
  route.destination = *sys::IpPrefix::Parse(destination);
  route.table = RT_TABLE_MAIN;
  route.type = RTN_UNICAST;
  if (!gateway.empty()) route.gateway = *sys::IpAddress::Parse(gateway);
  return route;
}

NamespaceContents Host() {
  NamespaceContents host;
  host.links = {UpLink(1, "lo", IFF_UP | IFF_LOOPBACK), UpLink(2, "eth0"), UpLink(3, "docker0"),
                UpLink(4, "eth1", 0)};
  host.addresses = {AddressOn(1, "127.0.0.1/8"),    AddressOn(1, "::1/128"),
                    AddressOn(1, "10.99.0.1/32"),   AddressOn(3, "172.17.0.1/16"),
                    AddressOn(2, "192.0.2.2/24"),   AddressOn(2, "fe80::2/64"),
                    AddressOn(4, "198.51.100.1/24")};
  host.routes = {RouteBy(3, "172.17.0.0/16"), RouteBy(2, "0.0.0.0/0", "192.0.2.1"),
                 RouteBy(3, "10.5.0.0/16", "172.17.0.9"), RouteBy(3, "fe80::/64")};
  return host;
}

std::vector<std::string> AddressesOf(const NamespaceView& view) {
  std::vector<std::string> all;
  for (const sys::LinkAddress& each : view.endpoints.at(0).addresses) {
    all.push_back(each.prefix.Text());
  }
  return all;
}

TEST(SocketView, IsTheInterfaceThatLeadsToOthersWithAllAddresses) {
  const NamespaceView view = SocketViewOf(Host());
  ASSERT_EQ(view.endpoints.size(), 1U);
  EXPECT_EQ(view.endpoints[0].link.name, "eth0");
  EXPECT_EQ(view.endpoints[0].link.mtu, 1400U);
  EXPECT_TRUE(view.endpoints[0].link.flags & IFF_NOARP);
  EXPECT_THAT(AddressesOf(view), ElementsAre("192.0.2.2/24", "10.99.0.1/32", "172.17.0.1/16"));
}

TEST(SocketView, LeadsWhereTheNamespaceLeads) {
  const NamespaceView view = SocketViewOf(Host());
  ASSERT_EQ(view.routes.size(), 3U);
  for (const sys::Route& route : view.routes) EXPECT_EQ(route.link, 2);
  EXPECT_EQ(view.routes[1].gateway->Text(), "192.0.2.1");
  // By whom the host reaches it is the host's business.
  EXPECT_FALSE(view.routes[2].gateway);
}

TEST(SocketView, TakesAnyInterfaceWithAnAddressWhereNoneLeadsToOthers) {
  NamespaceContents host = Host();
  host.routes.clear();
  EXPECT_EQ(SocketViewOf(host).endpoints.at(0).link.name, "docker0");
}

TEST(SocketView, LeadsToTheStandInOfTheLoopbackEvenWhereNothingElseLeadsToOthers) {
  NamespaceContents host = Host();
  host.routes = {RouteBy(3, "172.17.0.0/16")};
  const NamespaceView view = SocketViewOf(host);
  ASSERT_EQ(view.routes.size(), 2U);
  EXPECT_EQ(view.routes[1].destination.Text(), "192.0.0.7/32");
  EXPECT_EQ(view.routes[1].link, view.endpoints.at(0).link.index);
}

TEST(SocketView, HasNothingWhereThereIsNothing) {
  NamespaceContents bare;
  bare.links = {UpLink(1, "lo", IFF_UP | IFF_LOOPBACK)};
  bare.addresses = {AddressOn(1, "127.0.0.1/8")};
  EXPECT_TRUE(SocketViewOf(bare).endpoints.empty());
}

TEST(SocketView, KeepsTheKernelsRulesOnly) {
  NamespaceContents host = Host();
  sys::RoutingRule main;
  main.family = AF_INET;
  main.priority = 32766;
  main.action = FR_ACT_TO_TBL;
  main.table = RT_TABLE_MAIN;
  sys::RoutingRule other = main;
  other.mark = 7;
  host.rules = {main, other};
  EXPECT_THAT(SocketViewOf(host).rules, ElementsAre(main));
}

}  // namespace
}  // namespace kata::network
