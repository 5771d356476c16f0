// SPDX-License-Identifier: Apache-2.0
//
// The bytes are what a kernel sent for the rules that the comments show.
#include "sys/routing_rule.h"

#include <linux/fib_rules.h>

#include <gtest/gtest.h>

#include "sys/testing/hex.h"

namespace kata::sys {
namespace {

using testing::First;
using testing::FromHex;

// 100: from 10.5.0.0/24 fwmark 0x7/0xff iif a uidrange 5-9 ipproto tcp dport 80-90 lookup 300
//      suppress_prefixlength 0
constexpr std::string_view kRule =
    "780000002000020001000000832c000002001800fc0000010800000008000f002c01000008000e0000000000"
    "05001500000000000600030061000000080006006400000008000a000700000008001000ff0000000c001400"
    "05000000090000000800180050005a000500160006000000080002000a050000";
// 50: not from all to 2001:db8::/32 oif b goto 60
constexpr std::string_view kGoto =
    "600000002000020001000000832c00000a200000000000021200000008000f000000000008000e00ffffffff"
    "050015000000000006001100620000000800060032000000080004003c0000001400010020010db800000000"
    "0000000000000000";
// 60: from all prohibit
constexpr std::string_view kProhibit =
    "3c0000002000020001000000832c00000a000000000000080000000008000f000000000008000e00ffffffff"
    "0500150000000000080006003c000000";
// Of multicast routing: 32767: from all lookup default
constexpr std::string_view kMulticast =
    "3c0000002000020001000000832c000080000000fd0000010000000008000f00fd00000008000e00ffffffff"
    "050015000200000008000600ff7f0000";

TEST(RoutingRule, ReadsWhatSelectsAndWhere) {
  const std::string bytes = FromHex(kRule);
  RoutingRule wanted;
  wanted.family = AF_INET;
  wanted.priority = 100;
  wanted.action = FR_ACT_TO_TBL;
  wanted.table = 300;
  wanted.from = IpPrefix::Parse("10.5.0.0/24");
  wanted.in = "a";
  wanted.mark = 7;
  wanted.mark_mask = 0xff;
  wanted.ip_protocol = 6;
  wanted.destination_ports = {80, 90};
  wanted.users = {5, 9};
  wanted.suppressed_length = 0;
  const auto rule = ParseRule(First(bytes));
  ASSERT_TRUE(rule);
  EXPECT_EQ(*rule, wanted);
}

TEST(RoutingRule, ReadsOtherActions) {
  std::string bytes = FromHex(kGoto);
  auto rule = ParseRule(First(bytes));
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->family, AF_INET6);
  EXPECT_EQ(rule->action, FR_ACT_GOTO);
  EXPECT_EQ(rule->target, 60U);
  EXPECT_TRUE(rule->inverted);
  EXPECT_EQ(rule->to->Text(), "2001:db8::/32");
  EXPECT_EQ(rule->out, "b");
  EXPECT_FALSE(rule->suppressed_length);

  bytes = FromHex(kProhibit);
  rule = ParseRule(First(bytes));
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->action, FR_ACT_PROHIBIT);
  EXPECT_EQ(rule->priority, 60U);
}

TEST(RoutingRule, NothingComesOutOfOtherOrBrokenMessages) {
  std::string bytes = FromHex(kMulticast);
  EXPECT_FALSE(ParseRule(First(bytes)));
  bytes = FromHex(kRule);
  NetlinkMessage cut = First(bytes);
  const std::string_view body = cut.body;
  for (size_t size = 0; size < body.size(); ++size) {
    cut.body = body.substr(0, size);
    EXPECT_EQ(ParseRule(cut).has_value(), size >= sizeof(fib_rule_hdr));
  }
}

}  // namespace
}  // namespace kata::sys
