// SPDX-License-Identifier: Apache-2.0
//
// The bytes are what a kernel sent for the things that the comments show.
#include "sys/rtnetlink.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <gtest/gtest.h>

#include "sys/testing/hex.h"

namespace kata::sys {
namespace {

using testing::First;
using testing::FromHex;

// eth1@eth0: <BROADCAST,MULTICAST,UP> mtu 1500, without IPv6; other attributes are left out.
constexpr std::string_view kVeth =
    "940100001000020001000000bd3d000000000100020000004310010000000000090003006574683100000000"
    "08000400dc0500000a000100aabc371977130000cc001700010000000000000001000000000000006e000000"
    "000000005a000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000001000120009000100766574680000000078001a0074000a00700002000000000040000000dc050000"
    "01000000010000000100000001000000ffffffffa00f0000e803000000000000803a09008051010003000000"
    "58020000100000000000000001000000010000000100000060ea000000000000000000000000000000000000"
    "0000000001000000";
// inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0
constexpr std::string_view kAddress =
    "580000001400020001000000bd3d0000021080000300000008000100ac11000208000200ac11000208000400"
    "ac11ffff090003006574683000000000080008008000000014000600ffffffffffffffffec650100ec650100";
// inet 10.9.0.2 peer 10.9.0.1/32 scope global eth0
constexpr std::string_view kPeerAddress =
    "500000001400020001000000bd3d00000220800003000000080001000a090001080002000a09000209000300"
    "6574683000000000080008008000000014000600ffffffffffffffffec650100ec650100";
// inet6 2001:db8::2/64 scope global nodad
constexpr std::string_view kAddress6 =
    "480000001400020001000000bd3d00000a408200030000001400010020010db8000000000000000000000002"
    "14000600ffffffffffffffffed650100ed6501000800080082000000";
// default via 172.17.0.1 dev eth0 metric 50 mtu 1300
constexpr std::string_view kRoute =
    "480000001800020001000000bd3d000002000000fe0300010000000008000f00fe0000000800060032000000"
    "0c000800080002001405000008000500ac1100010800040003000000";
// 2001:db8::/64 dev eth0 proto kernel metric 256
constexpr std::string_view kRoute6 =
    "740000001800020001000000bd3d00000a400000fe0200010000000008000f00fe0000001400010020010db8"
    "0000000000000000000000000800060000010000080004000300000024000c00000000000000000000000000"
    "00000000000000000000000000000000000000000500140000000000";
// 10.9.0.0/16
//      nexthop via 10.5.0.1 dev w0 weight 2
//      nexthop via 10.6.0.1 dev w1 weight 1 onlink
constexpr std::string_view kMultipath =
    "5000000018000200010000001b2e000002100000fe0300010000000008000f00fe000000080001000a090000"
    "240009001000000103000000080005000a0500011000040002000000080005000a060001";
// 10.10.0.0/16
//      nexthop via inet6 2001:db8::1 dev w0 weight 1
//      nexthop via 10.5.0.1 dev w0 weight 1
constexpr std::string_view kMultipathVia =
    "6000000018000200010000001b2e000002100000fe0300010000000008000f00fe000000080001000a0a0000"
    "340009002000000003000000160012000a0020010db800000000000000000000000100001000000003000000"
    "080005000a050001";
// 2001:db8:9::/48 metric 1024
//      nexthop via 2001:db8::1 dev w0 weight 1
//      nexthop via 2001:db8::9 dev w0 weight 3
constexpr std::string_view kMultipath6 =
    "a800000018000200010000001b2e00000a300000fe0300010000000008000f00fe0000001400010020010db8"
    "00090000000000000000000008000600000400003c0009001c000000030000001400050020010db800000000"
    "00000000000000011c000002030000001400050020010db800000000000000000000000924000c0000000000"
    "000000000000000000000000000000000000000000000000000000000500140000000000";
// 172.17.0.9 dev eth0 lladdr 02:00:00:00:00:09 PERMANENT
constexpr std::string_view kNeighbor =
    "4c0000001c00020001000000bd3d000002000000030000008000000108000100ac1100090a00020002000000"
    "0009000008000400000000001400030000000000000000000000000000000000";

TEST(RtNetlink, ReadsALink) {
  const std::string bytes = FromHex(kVeth);
  const auto link = ParseLink(First(bytes));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->index, 2);
  EXPECT_EQ(link->name, "eth1");
  EXPECT_EQ(link->kind, "veth");
  EXPECT_EQ(link->type, 1);
  EXPECT_EQ(link->mtu, 1500U);
  EXPECT_EQ(MacText(link->mac), "aa:bc:37:19:77:13");
  EXPECT_TRUE(link->flags & IFF_UP);
  EXPECT_EQ(link->master, 0);
  EXPECT_TRUE(link->ipv6_off);
  EXPECT_EQ(link->counters.tx_packets, 1U);
}

TEST(RtNetlink, ReadsAddresses) {
  std::string bytes = FromHex(kAddress);
  auto address = ParseAddress(First(bytes));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->link, 3);
  EXPECT_EQ(address->prefix.Text(), "172.17.0.2/16");
  EXPECT_EQ(address->broadcast->Text(), "172.17.255.255");
  EXPECT_FALSE(address->peer);
  EXPECT_EQ(address->flags, static_cast<uint32_t>(IFA_F_PERMANENT));

  bytes = FromHex(kPeerAddress);
  address = ParseAddress(First(bytes));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->prefix.Text(), "10.9.0.2/32");
  EXPECT_EQ(address->peer->Text(), "10.9.0.1");

  bytes = FromHex(kAddress6);
  address = ParseAddress(First(bytes));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->prefix.Text(), "2001:db8::2/64");
  EXPECT_TRUE(address->flags & IFA_F_NODAD);
}

TEST(RtNetlink, ReadsRoutes) {
  std::string bytes = FromHex(kRoute);
  auto route = ParseRoute(First(bytes));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.Text(), "0.0.0.0/0");
  EXPECT_EQ(route->gateway->Text(), "172.17.0.1");
  EXPECT_EQ(route->link, 3);
  EXPECT_EQ(route->table, static_cast<uint32_t>(RT_TABLE_MAIN));
  EXPECT_EQ(route->metric, 50U);
  EXPECT_EQ(route->mtu, 1300U);
  EXPECT_EQ(route->protocol, RTPROT_BOOT);
  EXPECT_FALSE(route->source);

  bytes = FromHex(kRoute6);
  route = ParseRoute(First(bytes));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->destination.Text(), "2001:db8::/64");
  EXPECT_EQ(route->protocol, RTPROT_KERNEL);
}

TEST(RtNetlink, ReadsRoutesWithSeveralGateways) {
  std::string bytes = FromHex(kMultipath);
  auto route = ParseRoute(First(bytes));
  ASSERT_TRUE(route);
  EXPECT_FALSE(route->gateway);
  EXPECT_EQ(route->link, 0);
  const std::vector<NextHop> hops = {
      {.gateway = IpAddress::Parse("10.5.0.1"), .link = 3, .flags = 0, .weight = 2},
      {.gateway = IpAddress::Parse("10.6.0.1"), .link = 2, .flags = RTNH_F_ONLINK, .weight = 1}};
  EXPECT_EQ(route->next_hops, hops);

  bytes = FromHex(kMultipathVia);
  route = ParseRoute(First(bytes));
  ASSERT_TRUE(route);
  ASSERT_EQ(route->next_hops.size(), 2U);
  EXPECT_EQ(route->next_hops[0].gateway->Text(), "2001:db8::1");
  EXPECT_EQ(route->next_hops[1].gateway->Text(), "10.5.0.1");

  bytes = FromHex(kMultipath6);
  route = ParseRoute(First(bytes));
  ASSERT_TRUE(route);
  ASSERT_EQ(route->next_hops.size(), 2U);
  EXPECT_EQ(route->next_hops[1].gateway->Text(), "2001:db8::9");
  EXPECT_EQ(route->next_hops[1].weight, 3U);
  EXPECT_EQ(route->metric, 1024U);
}

TEST(RtNetlink, ReadsANeighbor) {
  const std::string bytes = FromHex(kNeighbor);
  const auto neighbor = ParseNeighbor(First(bytes));
  ASSERT_TRUE(neighbor);
  EXPECT_EQ(neighbor->address.Text(), "172.17.0.9");
  EXPECT_EQ(MacText(neighbor->mac), "02:00:00:00:00:09");
  EXPECT_EQ(neighbor->state, 0x80);
}

TEST(RtNetlink, NothingComesOutOfOtherOrBrokenMessages) {
  const std::string bytes = FromHex(kVeth);
  const NetlinkMessage link = First(bytes);
  EXPECT_FALSE(ParseAddress(link));
  EXPECT_FALSE(ParseRoute(link));
  EXPECT_FALSE(ParseNeighbor(link));
  NetlinkMessage cut = link;
  for (size_t size = 0; size < link.body.size(); ++size) {
    cut.body = link.body.substr(0, size);
    const auto parsed = ParseLink(cut);
    EXPECT_EQ(parsed.has_value(), size >= sizeof(ifinfomsg));
  }
  const std::string routes = FromHex(kMultipath);
  cut = First(routes);
  for (const std::string_view body = cut.body; !cut.body.empty();
       cut.body = body.substr(0, cut.body.size() - 1)) {
    const auto parsed = ParseRoute(cut);
    EXPECT_EQ(parsed.has_value(), cut.body.size() >= sizeof(rtmsg));
    const size_t most = cut.body.size() < body.size() ? 1 : 2;
    EXPECT_LE(parsed ? parsed->next_hops.size() : 0, most);
  }
}

}  // namespace
}  // namespace kata::sys
