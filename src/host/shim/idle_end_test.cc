// SPDX-License-Identifier: Apache-2.0
#include "host/shim/idle_end.h"

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

using std::chrono::milliseconds;

// Tests end when something happens, however long that takes. What must not happen would have been
// due before: the loop runs timers in the order of their times.
class IdleEndTest : public testing::Test {
 protected:
  static constexpr milliseconds kPatience{1};

  void RunUntilStopped() { ASSERT_TRUE(loop_->Run()); }
  void StopLater() {
    loop_->RunAfter(20 * kPatience, [this] { loop_->Stop(); });
  }

  std::unique_ptr<sys::EventLoop> loop_ = sys::EventLoop::Create().value();
  bool idle_ = true;
  int ended_ = 0;
};

TEST_F(IdleEndTest, EndsAShimThatNobodyUsesOnce) {
  const auto end = [this] {
    if (++ended_ == 1) StopLater();
  };
  IdleEnd watch(*loop_, kPatience, [this] { return idle_; }, end);
  RunUntilStopped();
  EXPECT_EQ(ended_, 1);
}

TEST_F(IdleEndTest, AShimWithContainersStaysUntilTheyHaveGone) {
  idle_ = false;
  bool had_containers = true;
  const auto end = [&] {
    EXPECT_FALSE(had_containers);
    loop_->Stop();
  };
  IdleEnd watch(*loop_, kPatience, [this] { return idle_; }, end);
  const auto last_leaves = [&] {
    had_containers = false;
    idle_ = true;
    watch.Watch();
  };
  // Posted after the watch's own first step, so its patience would end before.
  loop_->Post([&] { loop_->RunAfter(20 * kPatience, last_leaves); });
  RunUntilStopped();
  EXPECT_FALSE(had_containers);
}

TEST_F(IdleEndTest, AContainerThatCameMeanwhileKeepsTheShim) {
  int asked = 0;
  const auto is_idle = [&] {
    // Idle when the patience begins, and not any more when it ends.
    if (++asked == 1) return true;
    StopLater();
    return false;
  };
  IdleEnd watch(*loop_, kPatience, is_idle, [this] { ++ended_; });
  RunUntilStopped();
  EXPECT_EQ(ended_, 0);
}

}  // namespace
}  // namespace kata::shim
