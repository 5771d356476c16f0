// SPDX-License-Identifier: Apache-2.0
#include "host/plan/egress_policy.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

namespace kata::sandbox {
namespace {

bool AllowsTcp(const egress::Policy& policy, const char* address) {
  return egress::Allows(policy, IPPROTO_TCP, *sys::IpAddress::Parse(address), 80);
}

TEST(EgressPolicyOf, OfNothingIsNothing) {
  EXPECT_TRUE(EgressPolicyOf({})->empty());
  // Exceptions from nothing are nothing either.
  EXPECT_TRUE(EgressPolicyOf({.egress_allow = {"10.0.0.0/8"}})->empty());
}

TEST(EgressPolicyOf, APodDeniesMoreAndAllowsNoMore) {
  config::RuntimeConfig config;
  config.egress_deny = {"10.0.0.0/8"};
  config.pod_egress_allow = {"10.0.0.0/8", "192.0.2.0/24"};
  config.pod_egress_deny = {"0.0.0.0/0"};
  const auto policy = EgressPolicyOf(config);
  ASSERT_TRUE(policy);
  EXPECT_FALSE(AllowsTcp(*policy, "10.0.0.1"));
  EXPECT_TRUE(AllowsTcp(*policy, "192.0.2.1"));
  EXPECT_FALSE(AllowsTcp(*policy, "198.51.100.1"));
}

TEST(EgressPolicyOf, DockersNamesAreADestinationLikeOthers) {
  config::RuntimeConfig config;
  EXPECT_TRUE(AllowsDockersNames(*EgressPolicyOf(config)));
  config.egress_deny = {"0.0.0.0/0"};
  EXPECT_FALSE(AllowsDockersNames(*EgressPolicyOf(config)));
  config.egress_allow = {"127.0.0.11 53/udp"};
  EXPECT_TRUE(AllowsDockersNames(*EgressPolicyOf(config)));
}

}  // namespace
}  // namespace kata::sandbox
