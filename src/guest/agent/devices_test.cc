// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/devices.h"

#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"

namespace kata::guest {
namespace {

using std::chrono::milliseconds;

class DeviceWaiterTest : public testing::Test {
 protected:
  DeviceWaiter::Done Keep() {
    return [this](Result<void> result) { result_ = std::move(result); };
  }
  bool Answered() const { return result_.has_value(); }

  TestLoop test_;
  DeviceWaiter waiter_{test_.loop()};
  std::optional<Result<void>> result_;
};

TEST_F(DeviceWaiterTest, AnswersAtOnceWhenAllIsThere) {
  waiter_.Wait([] { return true; }, milliseconds(0), Keep());
  ASSERT_TRUE(Answered());
  EXPECT_TRUE(*result_);
}

TEST_F(DeviceWaiterTest, AsksUntilTheDeviceIsThere) {
  int asked = 0;
  waiter_.Wait([&] { return ++asked == 3; }, std::chrono::minutes(1), Keep());
  EXPECT_FALSE(Answered());
  EXPECT_EQ(test_.Run({{[&] { return Answered(); }, [] {}}}), 1u);
  EXPECT_TRUE(*result_);
}

TEST_F(DeviceWaiterTest, GivesUpInTime) {
  waiter_.Wait([] { return false; }, milliseconds(10), Keep());
  EXPECT_EQ(test_.Run({{[&] { return Answered(); }, [] {}}}), 1u);
  EXPECT_EQ(result_->error().code(), Code::kDeadlineExceeded);
}

TEST_F(DeviceWaiterTest, GoesOnAfterItsProcessorStoodStill) {
  int asked = 0;
  waiter_.Wait([&] { return ++asked == 4; }, milliseconds(1200), Keep());
  std::this_thread::sleep_for(milliseconds(1300));
  EXPECT_EQ(test_.Run({{[&] { return Answered(); }, [] {}}}), 1u);
  EXPECT_TRUE(*result_) << result_->error().message();
}

TEST_F(DeviceWaiterTest, EndsWithTheChecksOwnError) {
  bool broken = false;
  waiter_.Wait(
      [&]() -> Result<bool> {
        if (broken) return Fail(Code::kInvalidArgument, "bad address");
        return false;
      },
      std::chrono::minutes(1), Keep());
  broken = true;
  EXPECT_EQ(test_.Run({{[&] { return Answered(); }, [] {}}}), 1u);
  EXPECT_EQ(result_->error().code(), Code::kInvalidArgument);
}

TEST_F(DeviceWaiterTest, ServesAWaitThatStartsFromAnAnswer) {
  int asked = 0;
  waiter_.Wait([&] { return ++asked == 2; }, std::chrono::minutes(1),
               [&](Result<void>) {
                 waiter_.Wait([&] { return ++asked == 4; }, std::chrono::minutes(1), Keep());
               });
  EXPECT_EQ(test_.Run({{[&] { return Answered(); }, [] {}}}), 1u);
  EXPECT_TRUE(*result_);
}

}  // namespace
}  // namespace kata::guest
