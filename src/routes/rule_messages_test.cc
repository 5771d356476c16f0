// SPDX-License-Identifier: Apache-2.0
#include "routes/rule_messages.h"

#include <linux/fib_rules.h>
#include <sys/socket.h>

#include <string>

#include <gtest/gtest.h>

namespace kata::routes {
namespace {

TEST(RuleMessages, RulesComeBackAsTheyWere) {
  sys::RoutingRule rule;
  rule.family = AF_INET;
  rule.priority = 100;
  rule.action = FR_ACT_TO_TBL;
  rule.table = 300;
  rule.protocol = 3;
  rule.from = sys::IpPrefix::Parse("10.0.0.0/8");
  rule.in = "eth0";
  rule.tos = 16;
  rule.mark = 7;
  rule.mark_mask = 255;
  rule.ip_protocol = 6;
  rule.destination_ports = {80, 90};
  rule.users = {5, 9};
  rule.inverted = true;
  rule.suppressed_length = 0;
  types::Rule message;
  FillRule(rule, &message);
  const auto read = ReadRule(message);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, rule);

  sys::RoutingRule jump;
  jump.family = AF_INET6;
  jump.priority = 50;
  jump.action = FR_ACT_GOTO;
  jump.target = 60;
  jump.to = sys::IpPrefix::Parse("2001:db8::/32");
  jump.out = "eth1";
  jump.source_ports = {1, 1023};
  jump.suppressed_group = 4;
  types::Rule other;
  FillRule(jump, &other);
  EXPECT_EQ(*ReadRule(other), jump);
}

TEST(RuleMessages, WhatNoKernelTakesIsRefusedWithItsPriority) {
  const auto message_of = [](const types::Rule& rule) {
    const auto read = ReadRule(rule);
    return read ? "" : read.error().message();
  };
  types::Rule rule;
  rule.set_priority(7);
  rule.set_from("2001:db8::/32");
  EXPECT_EQ(message_of(rule), "rule 7: \"2001:db8::/32\" is no prefix of its family");
  rule.set_from("x");
  EXPECT_EQ(message_of(rule), "rule 7: \"x\" is no prefix of its family");
  rule.clear_from();
  rule.set_action(256);
  EXPECT_EQ(message_of(rule), "rule 7: 256 is out of range");
  rule.set_action(1);
  rule.set_in("sixteen-letters-");
  EXPECT_EQ(message_of(rule), "rule 7: interface name \"sixteen-letters-\"");
  rule.clear_in();
  rule.mutable_users()->set_first(1 << 20);
  EXPECT_EQ(message_of(rule), "");
  rule.mutable_source_ports()->set_last(1 << 16);
  EXPECT_EQ(message_of(rule), "rule 7: a port above 65535");
}

}  // namespace
}  // namespace kata::routes
