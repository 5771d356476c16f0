// SPDX-License-Identifier: Apache-2.0
#include "host/network/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Endpoints with these indices; negative ones are taps that somebody else made.
NamespaceView WithEndpoints(const std::vector<int>& links) {
  NamespaceView view;
  view.links = {1};
  view.names = {"lo"};
  for (const int link : links) {
    Endpoint endpoint;
    endpoint.link.index = std::abs(link);
    endpoint.link.name = "eth" + std::to_string(std::abs(link));
    endpoint.link.kind = link < 0 ? "tun" : "veth";
    endpoint.link.sub_kind = link < 0 ? "tap" : "";
    view.links.push_back(endpoint.link.index);
    view.names.push_back(endpoint.link.name);
    view.endpoints.push_back(endpoint);
  }
  return view;
}

// "<endpoint>:<nic or name of the tap>"
std::vector<std::string> Connections(const NetworkPlan& plan) {
  std::vector<std::string> texts;
  for (const auto& each : plan.connect) {
    texts.push_back(std::to_string(each.endpoint) + ":" +
                    (each.nic ? std::to_string(*each.nic) : each.tap));
  }
  return texts;
}

TEST(PlanNetwork, WaitingNicsAreUsedBeforeNewOnesArePlugged) {
  const auto plan = PlanNetwork(WithEndpoints({2, 3}), {{.link = 0}}, Model::kTcFilter);
  EXPECT_THAT(plan.release, IsEmpty());
  EXPECT_THAT(Connections(plan), ElementsAre("0:0", "1:tap0_kata"));
}

TEST(PlanNetwork, NothingChangesWhereAllAreServed) {
  EXPECT_TRUE(
      PlanNetwork(WithEndpoints({2, 3}), {{.link = 3}, {.link = 2}}, Model::kTcFilter).empty());
  EXPECT_TRUE(PlanNetwork(WithEndpoints({}), {{.link = 0}}, Model::kTcFilter).empty());
}

TEST(PlanNetwork, ANicWhoseEndpointHasGoneServesAnotherOne) {
  const auto plan = PlanNetwork(WithEndpoints({4}), {{.link = 2}}, Model::kTcFilter);
  EXPECT_THAT(plan.release, ElementsAre(0));
  EXPECT_THAT(Connections(plan), ElementsAre("0:0"));
}

TEST(PlanNetwork, AnEndpointThatIsDownKeepsItsNic) {
  NamespaceView view = WithEndpoints({2});
  view.endpoints.clear();
  EXPECT_TRUE(PlanNetwork(view, {{.link = 2}}, Model::kTcFilter).empty());
}

TEST(PlanNetwork, TakenNamesAreNotUsed) {
  NamespaceView view = WithEndpoints({2, 3});
  view.names.emplace_back("tap0_kata");
  EXPECT_THAT(Connections(PlanNetwork(view, {}, Model::kTcFilter)),
              ElementsAre("0:tap1_kata", "1:tap2_kata"));
}

TEST(PlanNetwork, MacvtapsAndTapsOfOthersNeedNicsOfTheirOwn) {
  EXPECT_THAT(Connections(PlanNetwork(WithEndpoints({2}), {{.link = 0}}, Model::kMacvtap)),
              ElementsAre("0:tap0_kata"));
  EXPECT_THAT(Connections(PlanNetwork(WithEndpoints({-2, 3}), {{.link = 0}}, Model::kTcFilter)),
              ElementsAre("0:tap0_kata", "1:0"));
}

TEST(PlanNetwork, TheModelNoneConnectsNothing) {
  EXPECT_TRUE(PlanNetwork(WithEndpoints({2}), {}, Model::kNone).empty());
}

TEST(NicsAtBoot, OneForEachEndpointOrOneThatWaits) {
  EXPECT_EQ(NicsAtBoot(WithEndpoints({}), Model::kTcFilter, 6), 1U);
  EXPECT_EQ(NicsAtBoot(WithEndpoints({2, 3}), Model::kTcFilter, 6), 2U);
  EXPECT_EQ(NicsAtBoot(WithEndpoints({2, 3, 4}), Model::kTcFilter, 2), 2U);
  EXPECT_EQ(NicsAtBoot(WithEndpoints({-2}), Model::kTcFilter, 6), 0U);
  EXPECT_EQ(NicsAtBoot(WithEndpoints({2}), Model::kMacvtap, 6), 0U);
  EXPECT_EQ(NicsAtBoot(WithEndpoints({}), Model::kNone, 6), 0U);
}

}  // namespace
}  // namespace kata::network
