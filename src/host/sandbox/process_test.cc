// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process.h"

#include <atomic>
#include <chrono>
#include <future>

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

ExitInfo Exit(uint32_t status) { return {.status = status, .at = {}}; }

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    process_.SetReport([this](const ExitInfo& exit) { Add("exit" + std::to_string(exit.status)); });
  }
  void Add(const std::string& word) { order_ += order_.empty() ? word : " " + word; }
  void Create() {
    process_.Created([this] { Add("create"); });
  }
  bool Start() {
    return process_.Started([this] { Add("start"); });
  }

  Process process_{"", {}, nullptr};
  std::string order_;
};

TEST_F(ProcessTest, TellsItsExitOnceToEveryoneAndToLatecomers) {
  process_.OnExit([&](const ExitInfo& exit) { Add("a" + std::to_string(exit.status)); });
  Create();
  ASSERT_TRUE(process_.BeginStart());
  ASSERT_TRUE(Start());
  EXPECT_EQ(process_.state(), ProcessState::kRunning);
  process_.Exited(Exit(3));
  process_.Exited(Exit(4));
  process_.OnExit([&](const ExitInfo& exit) { Add("b" + std::to_string(exit.status)); });
  EXPECT_EQ(order_, "create start exit3 a3 b3");
  EXPECT_EQ(process_.state(), ProcessState::kStopped);
}

TEST_F(ProcessTest, NobodyHearsOfTheEndBeforeTheBeginning) {
  process_.Exited(Exit(137));
  EXPECT_EQ(order_, "");
  Create();
  EXPECT_EQ(order_, "create exit137");
}

TEST_F(ProcessTest, NobodyHearsOfTheEndBeforeTheStart) {
  Create();
  ASSERT_TRUE(process_.BeginStart());
  process_.Exited(Exit(0));
  EXPECT_EQ(order_, "create");
  ASSERT_TRUE(Start());
  EXPECT_EQ(order_, "create start exit0");
}

TEST_F(ProcessTest, WhatIsKnownCountsWhateverComesInBetween) {
  Create();
  ASSERT_TRUE(process_.BeginStart());
  ASSERT_TRUE(Start());
  process_.KnowExit(Exit(3));
  EXPECT_EQ(process_.state(), ProcessState::kRunning);
  process_.Exited(Exit(137));  // its machine ended meanwhile
  EXPECT_EQ(process_.exit().status, 3u);
}

TEST_F(ProcessTest, StartsOnce) {
  EXPECT_EQ(process_.BeginStart().error().message(), "process is being created");
  Create();
  ASSERT_TRUE(process_.BeginStart());
  EXPECT_EQ(process_.BeginStart().error().code(), Code::kFailedPrecondition);
  process_.FailStart();
  ASSERT_TRUE(process_.BeginStart());
  ASSERT_TRUE(Start());
  EXPECT_EQ(process_.BeginStart().error().code(), Code::kFailedPrecondition);
  process_.Exited(Exit(0));
  EXPECT_EQ(process_.BeginStart().error().message(), "process has ended");
}

TEST_F(ProcessTest, MayEndWithoutAStart) {
  Create();
  process_.Exited(Exit(137));
  EXPECT_EQ(process_.exit().status, 137u);
  EXPECT_FALSE(process_.BeginStart());
}

TEST_F(ProcessTest, IsDeletedOnceAndNotWhileItRuns) {
  Create();
  ASSERT_TRUE(process_.BeginStart());
  ASSERT_TRUE(Start());
  EXPECT_EQ(process_.BeginDelete().error().code(), Code::kFailedPrecondition);
  process_.Exited(Exit(0));
  ASSERT_TRUE(process_.BeginDelete());
  EXPECT_EQ(process_.BeginDelete().error().code(), Code::kNotFound);
  EXPECT_TRUE(process_.ended());
}

TEST_F(ProcessTest, ADeletionWaitsForTheStartThatIsUnderWay) {
  Create();
  ASSERT_TRUE(process_.BeginStart());
  auto deleted = std::async(std::launch::async, [this] { return process_.BeginDelete(); });
  process_.FailStart();
  EXPECT_TRUE(deleted.get());
  EXPECT_FALSE(process_.BeginStart());
}

TEST_F(ProcessTest, TheEndOfAnExecThatNeverRanIsToldToThoseWhoWaitAlone) {
  Process exec("e", {}, nullptr);
  exec.SetReport([this](const ExitInfo&) { Add("report"); });
  exec.OnExit([this](const ExitInfo&) { Add("waiter"); });
  exec.Created([this] { Add("added"); });
  ASSERT_TRUE(exec.BeginStart());
  exec.FailStart();
  ASSERT_TRUE(exec.BeginDelete());
  exec.Exited(Exit(137));
  EXPECT_EQ(order_, "added waiter");
}

TEST_F(ProcessTest, AContainerGoesAfterTheExecThatIsBeingDeleted) {
  Process exec("e", {}, nullptr);
  exec.Created([] {});
  ASSERT_TRUE(exec.BeginDelete());
  std::atomic<bool> gone = false;
  auto container = std::async(std::launch::async, [&] {
    exec.DeleteWithContainer(Exit(137));
    gone = true;
  });
  // That it goes on waiting can be seen for a while only; a slow machine sees too little of it.
  EXPECT_EQ(container.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  exec.Deleted([&] { EXPECT_FALSE(gone); });
  container.get();
}

TEST_F(ProcessTest, AStartThatEndsAfterItsContainerIsNotAnnounced) {
  Create();
  ASSERT_TRUE(process_.BeginStart());
  process_.DeleteWithContainer(Exit(137));
  EXPECT_EQ(order_, "create exit137");
  EXPECT_FALSE(Start());
  process_.FailStart();
  EXPECT_EQ(order_, "create exit137");
  EXPECT_EQ(process_.state(), ProcessState::kDeleted);
}

}  // namespace
}  // namespace kata::sandbox
