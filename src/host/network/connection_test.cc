// SPDX-License-Identifier: Apache-2.0
//
// Needs root: real interfaces in a namespace that the test makes.
#include "host/network/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/tap.h"
#include "sys/testing/network_test.h"
#include "sys/traffic_control.h"

namespace kata::network {
namespace {

using testing::HasSubstr;

class ConnectionTest : public sys::testing::NetworkTest {
 protected:
  void SetUpNetwork() override {
    ASSERT_TRUE(sys::AddVethPair(*socket_, "eth0", "far"));
    ASSERT_TRUE(sys::ChangeLink(*socket_, Find("far").index, {.up = true}));
    ASSERT_TRUE(sys::ChangeLink(*socket_, Find("eth0").index, {.mtu = 1400, .up = true}));
  }

  Endpoint Eth0() {
    const auto view = Discover(*socket_);
    EXPECT_TRUE(view);
    for (const Endpoint& endpoint : view->endpoints) {
      if (endpoint.link.name == "eth0") return endpoint;
    }
    ADD_FAILURE() << "no eth0";
    return {};
  }
};

TEST_F(ConnectionTest, FramesPassInEveryModel) {
  for (const Model model : {Model::kTcFilter, Model::kMacvtap, Model::kNone}) {
    const auto tested = TestModel(model);
    EXPECT_TRUE(tested) << ModelName(model) << ": " << tested.error().message();
    EXPECT_EQ(FirstWorkingModel(model), model);
    EXPECT_EQ(ModelByName(ModelName(model)), model);
  }
  EXPECT_FALSE(ModelByName("bridged"));
}

TEST_F(ConnectionTest, ASpareTapIsConnectedAndDisconnected) {
  const auto tap = MakeSpareTap(ns_.get(), *socket_, TapName(0), 2);
  ASSERT_TRUE(tap) << tap.error().message();
  const Endpoint endpoint = Eth0();
  for (int round = 0; round < 2; ++round) {
    const auto connected = Connect(Model::kTcFilter, *socket_, endpoint, *tap);
    ASSERT_TRUE(connected) << connected.error().message();
    EXPECT_EQ(Find("tap0_kata").mtu, 1400U);
    const auto disconnected = Disconnect(*socket_, {.interface = "eth0",
                                                    .link = endpoint.link.index,
                                                    .tap = tap->name,
                                                    .model = Model::kTcFilter});
    EXPECT_TRUE(disconnected) << disconnected.error().message();
    EXPECT_FALSE(sys::DeleteIngressQdisc(*socket_, endpoint.link.index)) << "it has gone";
  }
  EXPECT_TRUE(Disconnect(*socket_, {.interface = "eth9", .link = 99, .tap = "tap9_kata"}));
}

TEST_F(ConnectionTest, AHookOfSomebodyElseIsLeftAlone) {
  const auto tap = MakeSpareTap(ns_.get(), *socket_, TapName(0), 1);
  const Endpoint endpoint = Eth0();
  ASSERT_TRUE(sys::AddIngressQdisc(*socket_, endpoint.link.index));
  const auto connected = Connect(Model::kTcFilter, *socket_, endpoint, *tap);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(connected.error().message(), HasSubstr("ingress qdisc already"));
  EXPECT_TRUE(sys::DeleteIngressQdisc(*socket_, endpoint.link.index)) << "it is still there";
}

TEST_F(ConnectionTest, AnInterfaceThatHasGoneIsAnErrorThatLeavesNothing) {
  const auto tap = MakeSpareTap(ns_.get(), *socket_, TapName(0), 1);
  const Endpoint endpoint = Eth0();
  ASSERT_TRUE(sys::DeleteLink(*socket_, endpoint.link.index));
  const auto connected = Connect(Model::kTcFilter, *socket_, endpoint, *tap);
  ASSERT_FALSE(connected);
  EXPECT_THAT(connected.error().message(), HasSubstr("eth0"));
  EXPECT_FALSE(sys::DeleteHooks(*socket_, tap->link));
}

TEST_F(ConnectionTest, AMacvtapChangesNothingOfItsInterface) {
  const Endpoint endpoint = Eth0();
  const auto tap = MakeTapFor(Model::kMacvtap, ns_.get(), *socket_, endpoint, TapName(0), 1);
  ASSERT_TRUE(tap) << tap.error().message();
  EXPECT_TRUE(Disconnect(*socket_, {.interface = "eth0",
                                    .link = endpoint.link.index,
                                    .tap = tap->name,
                                    .model = Model::kMacvtap}));
  EXPECT_FALSE(sys::FindLink(*socket_, "tap0_kata"));
  sys::Link now = Find("eth0");
  now.counters = endpoint.link.counters;
  EXPECT_EQ(now, endpoint.link);
}

TEST_F(ConnectionTest, ANameThatIsTakenIsAnError) {
  const auto first = MakeSpareTap(ns_.get(), *socket_, TapName(0), 1);
  const auto second = MakeSpareTap(ns_.get(), *socket_, TapName(0), 1);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(second.error().message(), HasSubstr("tap0_kata"));
}

}  // namespace
}  // namespace kata::network
