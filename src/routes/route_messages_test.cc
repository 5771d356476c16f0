// SPDX-License-Identifier: Apache-2.0
#include "routes/route_messages.h"

#include <linux/rtnetlink.h>

#include <gtest/gtest.h>

namespace kata::routes {
namespace {

const LinksByName kLinks = {{"eth0", 2}, {"eth1", 3}};
const NamesByLink kNames = {{2, "eth0"}, {3, "eth1"}};

TEST(RouteMessages, RoutesComeBackAsTheyWere) {
  types::Route message;
  message.set_dest("2001:db8::/32");
  message.set_gateway("fe80::1");
  message.set_device("eth0");
  message.set_family(types::v6);
  message.set_flags(RTNH_F_ONLINK);
  message.set_mtu(1400);
  message.set_metric(99);
  message.set_protocol(RTPROT_STATIC);
  message.set_type(RTN_UNREACHABLE);
  message.set_table(300);
  const auto route = ReadRoute(message, kLinks);
  ASSERT_TRUE(route);
  EXPECT_EQ(route->link, 2);
  EXPECT_EQ(route->table, 300U);
  types::Route again;
  FillRoute(*route, kNames, &again);
  EXPECT_EQ(again.SerializeAsString(), message.SerializeAsString());
}

TEST(RouteMessages, WhoKnowsOneWayOnlyGetsTheFirst) {
  const sys::Route route = {
      .destination = *sys::IpPrefix::Parse("10.0.0.0/8"),
      .table = RT_TABLE_MAIN,
      .type = RTN_UNICAST,
      .protocol = RTPROT_BOOT,
      .next_hops = {
          {.gateway = sys::IpAddress::Parse("10.1.0.1"), .link = 3, .flags = 0, .weight = 7},
          {.gateway = sys::IpAddress::Parse("10.2.0.1"), .link = 2, .flags = RTNH_F_ONLINK}}};
  types::Route message;
  FillRoute(route, kNames, &message);
  EXPECT_EQ(message.gateway(), "10.1.0.1");
  EXPECT_EQ(message.device(), "eth1");
  ASSERT_EQ(message.next_hops_size(), 2);
  EXPECT_EQ(*ReadRoute(message, kLinks), route);
  EXPECT_TRUE(HasNames(route, kNames));
  EXPECT_FALSE(HasNames(route, {{3, "eth1"}}));
  message.mutable_next_hops(1)->set_device("eth9");
  EXPECT_EQ(ReadRoute(message, kLinks).error().code(), Code::kNotFound);
  message.mutable_next_hops(1)->set_device("eth0");
  message.mutable_next_hops(1)->set_weight(257);
  EXPECT_EQ(ReadRoute(message, kLinks).error().message(), "weight \"257\"");
}

TEST(RouteMessages, ADefaultRouteHasAFamilyAndNoDestination) {
  types::Route message;
  message.set_family(types::v6);
  const auto route = ReadRoute(message, {});
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.Text(), "::/0");
  EXPECT_EQ(route->type, RTN_UNICAST);
  EXPECT_EQ(route->protocol, RTPROT_BOOT);
  EXPECT_EQ(route->table, static_cast<uint32_t>(RT_TABLE_MAIN));
}

TEST(RouteMessages, ASourceMayHaveALength) {
  types::Route message;
  message.set_dest("10.0.0.0/8");
  message.set_source("10.0.0.2/0");
  EXPECT_EQ(ReadRoute(message, {})->source->Text(), "10.0.0.2");
  message.set_source("ten");
  EXPECT_EQ(ReadRoute(message, {}).error().message(), "source \"ten\"");
}

TEST(RouteMessages, AnUnknownInterfaceIsNamed) {
  types::Route message;
  message.set_dest("10.0.0.0/8");
  message.set_device("eth9");
  EXPECT_EQ(ReadRoute(message, kLinks).error().message(),
            "route to \"10.0.0.0/8\": no interface \"eth9\"");
}

}  // namespace
}  // namespace kata::routes
