// SPDX-License-Identifier: Apache-2.0
//
// Needs root: ends of veth pairs stand for a guest's network devices.
#include "guest/agent/network/guest_network.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::guest {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class GuestNetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root";
    auto network = GuestNetwork::Create();
    ASSERT_TRUE(network) << network.error().message();
    network_.emplace(*std::move(network));
    outside_.emplace(*sys::NetlinkSocket::Open());
  }

  // A device with this address, still outside.
  void Plug(const std::string& name, const std::string& mac) {
    ASSERT_TRUE(sys::AddVethPair(*outside_, name, name + "-peer"));
    ASSERT_TRUE(sys::ChangeLink(*outside_, sys::FindLink(*outside_, name)->index,
                                {.mac = sys::ParseMac(mac)}));
    ASSERT_TRUE(
        sys::ChangeLink(*outside_, sys::FindLink(*outside_, name + "-peer")->index, {.up = true}));
  }

  static types::Interface Wanted(const std::string& name, const std::string& mac,
                                 const std::vector<std::string>& addresses) {
    types::Interface interface;
    interface.set_name(name);
    interface.set_hw_addr(mac);
    interface.set_mtu(1400);
    for (const std::string& text : addresses) {
      types::IPAddress& address = *interface.add_ip_addresses();
      address.set_family(text.find(':') == std::string::npos ? types::v4 : types::v6);
      address.set_address(text.substr(0, text.find('/')));
      address.set_mask(text.substr(text.find('/') + 1));
    }
    return interface;
  }

  std::vector<std::string> Addresses() {
    std::vector<std::string> texts;
    const auto interfaces = network_->Interfaces();
    EXPECT_TRUE(interfaces) << interfaces.error().message();
    for (const types::Interface& interface : interfaces->interfaces()) {
      for (const types::IPAddress& address : interface.ip_addresses()) {
        if (address.address().starts_with("fe80")) continue;
        texts.push_back(interface.name() + " " + address.address() + "/" + address.mask());
      }
    }
    return texts;
  }

  static types::Route RouteTo(const std::string& destination, const std::string& gateway,
                              const std::string& device) {
    types::Route route;
    route.set_dest(destination);
    route.set_gateway(gateway);
    route.set_device(device);
    return route;
  }

  static std::vector<std::string> Texts(const Result<agent::Routes>& routes) {
    std::vector<std::string> texts;
    EXPECT_TRUE(routes) << routes.error().message();
    for (const types::Route& route : routes->routes()) {
      if (route.family() == types::v6) continue;
      texts.push_back((route.dest().empty() ? "default" : route.dest()) + " " + route.gateway() +
                      " " + route.device());
    }
    return texts;
  }

  std::optional<GuestNetwork> network_;
  std::optional<sys::NetlinkSocket> outside_;
};

constexpr const char* kMac = "02:00:00:00:00:07";

TEST_F(GuestNetworkTest, DevicesWaitOutsideUntilTheyAreAskedFor) {
  Plug("dev0", kMac);
  EXPECT_THAT(Addresses(), testing::IsEmpty());
  EXPECT_EQ(network_->Interfaces()->interfaces_size(), 0);
  const types::Interface wanted = Wanted("eth0", kMac, {"10.5.0.2/24", "2001:db8::2/64"});
  EXPECT_TRUE(*network_->IsThere(wanted));
  const auto now = network_->Update(wanted);
  ASSERT_TRUE(now) << now.error().message();
  EXPECT_EQ(now->name(), "eth0");
  EXPECT_EQ(now->mtu(), 1400U);
  EXPECT_THAT(Addresses(), testing::ElementsAre("eth0 10.5.0.2/24", "eth0 2001:db8::2/64"));
  EXPECT_FALSE(sys::FindLink(*outside_, "dev0"));
}

TEST_F(GuestNetworkTest, AnUpdateReplacesAddressesAndNames) {
  Plug("dev0", kMac);
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {"10.5.0.2/24", "10.5.0.3/24"})));
  const auto again = network_->Update(Wanted("net0", kMac, {"10.5.0.3/24", "10.6.0.1/16"}));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_THAT(Addresses(), testing::UnorderedElementsAre("net0 10.5.0.3/24", "net0 10.6.0.1/16"));
}

TEST_F(GuestNetworkTest, ErrorsNameTheInterface) {
  const auto missing = network_->Update(Wanted("eth0", kMac, {}));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr(kMac));
  Plug("dev0", kMac);
  Plug("dev1", "02:00:00:00:00:08");
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {})));
  const auto taken = network_->Update(Wanted("eth0", "02:00:00:00:00:08", {}));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(network_->Update(Wanted("a/b", kMac, {})).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(network_->Update(Wanted("eth0", kMac, {"10.0.0/8"})).error().code(),
            Code::kInvalidArgument);
}

TEST_F(GuestNetworkTest, RoutesAreReplacedAndConnectedOnesKept) {
  Plug("dev0", kMac);
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {"10.5.0.2/24"})));
  agent::Routes routes;
  // In an order in which the kernel would refuse the first.
  *routes.add_routes() = RouteTo("", "192.168.9.1", "eth0");
  *routes.add_routes() = RouteTo("192.168.9.1/32", "", "eth0");
  routes.mutable_routes(1)->set_scope(253);
  EXPECT_THAT(Texts(network_->UpdateRoutes(routes)),
              testing::UnorderedElementsAre("default 192.168.9.1 eth0", "192.168.9.1/32  eth0",
                                            "10.5.0.0/24  eth0"));
  agent::Routes fewer;
  *fewer.add_routes() = RouteTo("172.16.0.0/12", "10.5.0.1", "eth0");
  EXPECT_THAT(Texts(network_->UpdateRoutes(fewer)),
              testing::UnorderedElementsAre("172.16.0.0/12 10.5.0.1 eth0", "10.5.0.0/24  eth0"));
  agent::Routes complete;
  complete.set_complete(true);
  *complete.add_routes() = RouteTo("10.5.0.1/32", "", "eth0");
  complete.mutable_routes(0)->set_scope(253);
  EXPECT_THAT(Texts(network_->UpdateRoutes(complete)), testing::ElementsAre("10.5.0.1/32  eth0"));
  agent::Routes wrong;
  *wrong.add_routes() = RouteTo("10.0.0.0/8", "", "eth9");
  EXPECT_EQ(network_->UpdateRoutes(wrong).error().code(), Code::kNotFound);
}

TEST_F(GuestNetworkTest, TablesAndRulesAreReplaced) {
  Plug("dev0", kMac);
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {"10.5.0.2/24"})));
  const agent::Routes before = *network_->Routes();
  agent::Routes routes = before;
  routes.set_complete(true);
  types::Route& split = *routes.add_table_routes();
  split = RouteTo("10.9.0.0/16", "10.5.0.1", "eth0");
  split.set_table(300);
  for (const char* gateway : {"10.5.0.1", "10.5.0.3"}) {
    types::NextHop& hop = *split.add_next_hops();
    hop.set_gateway(gateway);
    hop.set_device("eth0");
  }
  types::Rule& rule = *routes.add_rules();
  rule.set_priority(100);
  rule.set_action(1);
  rule.set_table(300);
  rule.set_from("10.5.0.0/24");
  const auto now = network_->UpdateRoutes(routes);
  ASSERT_TRUE(now) << now.error().message();
  ASSERT_EQ(now->table_routes_size(), 1);
  EXPECT_EQ(now->table_routes(0).table(), 300U);
  EXPECT_EQ(now->table_routes(0).next_hops_size(), 2);
  EXPECT_EQ(now->rules_size(), before.rules_size() + 1);
  agent::Routes fewer = before;
  fewer.set_complete(true);
  EXPECT_EQ(network_->UpdateRoutes(routes)->SerializeAsString(), now->SerializeAsString());
  EXPECT_EQ(network_->UpdateRoutes(fewer)->SerializeAsString(), before.SerializeAsString());
  agent::Routes wrong = before;
  wrong.set_complete(true);
  wrong.add_rules()->set_from("x");
  EXPECT_EQ(network_->UpdateRoutes(wrong).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(network_->Routes()->SerializeAsString(), before.SerializeAsString());
}

TEST_F(GuestNetworkTest, WhatContainersRouteThemselvesStays) {
  Plug("dev0", kMac);
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {"10.5.0.2/24"})));
  agent::Routes routes = *network_->Routes();
  routes.set_complete(true);
  sys::RoutingRule own;
  own.family = AF_INET;
  own.priority = 77;
  own.action = FR_ACT_TO_TBL;
  own.table = 77;
  sys::Route way{.destination = *sys::IpPrefix::Parse("10.77.0.0/16"),
                 .gateway = sys::IpAddress::Parse("10.5.0.1"),
                 .table = 77,
                 .type = RTN_UNICAST,
                 .protocol = RTPROT_BOOT};
  ASSERT_TRUE(network_->Within([&] {
    auto socket = sys::NetlinkSocket::Open();
    ASSERT_TRUE(socket);
    EXPECT_TRUE(sys::AddRule(*socket, own));
    EXPECT_TRUE(sys::AddRoute(*socket, way));
  }));
  ASSERT_TRUE(network_->UpdateRoutes(routes));
  const auto now = network_->UpdateRoutes(routes);
  ASSERT_TRUE(now) << now.error().message();
  EXPECT_EQ(now->rules_size(), routes.rules_size() + 1);
  ASSERT_EQ(now->table_routes_size(), 1);
  EXPECT_EQ(now->table_routes(0).dest(), "10.77.0.0/16");
}

TEST_F(GuestNetworkTest, NeighborsAreAdded) {
  Plug("dev0", kMac);
  ASSERT_TRUE(network_->Update(Wanted("eth0", kMac, {"10.5.0.2/24"})));
  agent::ARPNeighbors neighbors;
  types::ARPNeighbor& neighbor = *neighbors.add_arp_neighbors();
  neighbor.mutable_to_ip_address()->set_address("10.5.0.9");
  neighbor.set_device("eth0");
  neighbor.set_lladdr("02:00:00:00:00:09");
  const auto added = network_->AddNeighbors(neighbors);
  EXPECT_TRUE(added) << added.error().message();
  neighbor.set_device("eth9");
  EXPECT_EQ(network_->AddNeighbors(neighbors).error().code(), Code::kNotFound);
}

TEST_F(GuestNetworkTest, Ipv6CanBeOff) {
  Plug("dev0", kMac);
  types::Interface wanted = Wanted("eth0", kMac, {"10.5.0.2/24"});
  wanted.set_ipv6_off(true);
  ASSERT_TRUE(network_->Update(wanted));
  const auto interfaces = network_->Interfaces();
  ASSERT_TRUE(interfaces);
  ASSERT_EQ(interfaces->interfaces_size(), 1);
  EXPECT_TRUE(interfaces->interfaces(0).ipv6_off());
  for (const types::IPAddress& address : interfaces->interfaces(0).ip_addresses()) {
    EXPECT_EQ(address.family(), types::v4) << address.address();
  }
}

TEST_F(GuestNetworkTest, WhatIsUnknownCannotBeReleased) {
  EXPECT_EQ(network_->Release("").error().code(), Code::kNotFound);
  EXPECT_EQ(network_->Release(kMac).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::guest
