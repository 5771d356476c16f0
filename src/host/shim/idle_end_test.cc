// SPDX-License-Identifier: Apache-2.0
#include "host/shim/idle_end.h"

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

using std::chrono::milliseconds;

class IdleEndTest : public testing::Test {
 protected:
  // Ends the loop when `watch` has ended the shim, or after `span`.
  void RunFor(milliseconds span) {
    loop_->RunAfter(span, [this] { loop_->Stop(); });
    ASSERT_TRUE(loop_->Run());
  }
  std::unique_ptr<sys::EventLoop> loop_ = sys::EventLoop::Create().value();
  bool idle_ = true;
  int ended_ = 0;
};

TEST_F(IdleEndTest, EndsAShimThatNobodyUsesOnce) {
  IdleEnd watch(*loop_, milliseconds(1), [this] { return idle_; }, [this] { ++ended_; });
  RunFor(milliseconds(100));
  EXPECT_EQ(ended_, 1);
}

TEST_F(IdleEndTest, AShimWithContainersStaysUntilTheyHaveGone) {
  idle_ = false;
  IdleEnd watch(*loop_, milliseconds(1), [this] { return idle_; }, [this] { ++ended_; });
  loop_->RunAfter(milliseconds(50), [&] {
    EXPECT_EQ(ended_, 0);
    idle_ = true;
    watch.Watch();
  });
  RunFor(milliseconds(200));
  EXPECT_EQ(ended_, 1);
}

TEST_F(IdleEndTest, AContainerThatCameMeanwhileKeepsTheShim) {
  IdleEnd watch(*loop_, milliseconds(50), [this] { return idle_; }, [this] { ++ended_; });
  loop_->RunAfter(milliseconds(1), [this] { idle_ = false; });
  RunFor(milliseconds(200));
  EXPECT_EQ(ended_, 0);
}

}  // namespace
}  // namespace kata::shim
