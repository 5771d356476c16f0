// SPDX-License-Identifier: Apache-2.0
#include "egress/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace kata::egress {
namespace {

using testing::HasSubstr;

Policy Made(const std::vector<std::string>& allow, const std::vector<std::string>& deny) {
  auto rules = ParseRules(allow, deny);
  EXPECT_TRUE(rules) << rules.error().message();
  return {rules.value_or(Rules())};
}

bool Tcp(const Policy& policy, const std::string& address, uint16_t port) {
  return Allows(policy, IPPROTO_TCP, *sys::IpAddress::Parse(address), port);
}
bool Udp(const Policy& policy, const std::string& address, uint16_t port) {
  return Allows(policy, IPPROTO_UDP, *sys::IpAddress::Parse(address), port);
}

TEST(EgressRule, HasANetworkOrAServiceOrBoth) {
  const auto whole = ParseRule("10.1.2.3/8");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->network->Text(), "10.0.0.0/8");
  EXPECT_FALSE(whole->protocol);
  const auto both = ParseRule("  2001:db8::1   8000-8100/tcp ");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->network->Text(), "2001:db8::1/128");
  EXPECT_EQ(both->protocol, IPPROTO_TCP);
  EXPECT_EQ(both->ports, (Ports{.low = 8000, .high = 8100}));
  const auto service = ParseRule("53/udp");
  ASSERT_TRUE(service);
  EXPECT_FALSE(service->network);
  EXPECT_EQ(service->ports, (Ports{.low = 53, .high = 53}));
  const auto protocol = ParseRule("0.0.0.0/0 icmp");
  ASSERT_TRUE(protocol);
  EXPECT_EQ(protocol->protocol, IPPROTO_ICMP);
  EXPECT_FALSE(protocol->ports);
}

TEST(EgressRule, WhatIsNoneIsToldWithTheWord) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "empty"},
      {"10.0.0.0/33", "neither an address"},
      {"10.0.0.0/8 443", "\"443\""},
      {"example.com", "\"example.com\""},
      {"example.com 443/tcp", "CIDR"},
      {"10.0.0.0/8 443/http", "\"443/http\""},
      {"0/tcp", "port"},
      {"9-8/tcp", "port"},
      {"65536/tcp", "port"},
      {"-/tcp", "port"},
      {"8/icmp", "no ports"},
      {"10.0.0.0/8 443/tcp x", "expected"},
      {"443/tcp 10.0.0.0/8", "CIDR"},
  };
  for (const auto& [text, words] : cases) {
    const auto rule = ParseRule(text);
    ASSERT_FALSE(rule) << text;
    EXPECT_EQ(rule.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(rule.error().message(), HasSubstr(words)) << text;
  }
  const std::vector<std::string> many(kMostRules + 1, "10.0.0.0/8");
  EXPECT_FALSE(ParseRules(many, {}));
}

TEST(EgressPolicy, WithoutRulesEverythingIsAllowed) {
  EXPECT_TRUE(Tcp({}, "192.0.2.1", 80));
  EXPECT_TRUE(Tcp(Made({"10.0.0.0/8"}, {}), "192.0.2.1", 80));
}

TEST(EgressPolicy, WhatIsAllowedIsAnExceptionFromWhatIsDenied) {
  const Policy policy = Made({"10.0.0.53 53/udp", "2001:db8::/32"}, {"0.0.0.0/0", "::/0"});
  EXPECT_TRUE(Udp(policy, "10.0.0.53", 53));
  EXPECT_FALSE(Tcp(policy, "10.0.0.53", 53));
  EXPECT_FALSE(Udp(policy, "10.0.0.54", 53));
  EXPECT_TRUE(Tcp(policy, "2001:db8::9", 1));
  EXPECT_FALSE(Tcp(policy, "2001:db9::9", 1));
  EXPECT_FALSE(Allows(policy, IPPROTO_ICMP, *sys::IpAddress::Parse("10.0.0.53"), std::nullopt));
}

TEST(EgressPolicy, AServiceIsDeniedInBothFamilies) {
  const Policy policy = Made({}, {"25/tcp", "icmp"});
  EXPECT_FALSE(Tcp(policy, "192.0.2.1", 25));
  EXPECT_FALSE(Tcp(policy, "2001:db8::1", 25));
  EXPECT_TRUE(Tcp(policy, "192.0.2.1", 26));
  EXPECT_TRUE(Udp(policy, "192.0.2.1", 25));
  EXPECT_FALSE(Allows(policy, IPPROTO_ICMP, *sys::IpAddress::Parse("192.0.2.1"), std::nullopt));
  EXPECT_FALSE(Allows(policy, IPPROTO_ICMPV6, *sys::IpAddress::Parse("2001:db8::1"), std::nullopt));
}

TEST(EgressPolicy, ALaterFragmentPassesWhereSomePortDoes) {
  const auto later = [](const Policy& policy) {
    return Allows(policy, IPPROTO_UDP, *sys::IpAddress::Parse("192.0.2.1"), std::nullopt);
  };
  EXPECT_TRUE(later(Made({"53/udp"}, {"0.0.0.0/0"})));
  EXPECT_FALSE(later(Made({"53/tcp"}, {"0.0.0.0/0"})));
  EXPECT_TRUE(later(Made({}, {"53/udp"})));
  EXPECT_FALSE(later(Made({}, {"udp"})));
}

TEST(EgressPolicy, OfSeveralEachMustAllow) {
  Policy policy = Made({}, {"10.0.0.0/8"});
  policy.push_back(Made({"10.0.0.0/8"}, {"0.0.0.0/0"}).front());
  EXPECT_FALSE(Tcp(policy, "10.0.0.1", 80));
  EXPECT_FALSE(Tcp(policy, "192.0.2.1", 80));
  EXPECT_TRUE(Tcp(policy, "2001:db8::1", 80));
}

}  // namespace
}  // namespace kata::egress
