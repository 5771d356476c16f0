// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process.h"

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

ExitInfo Exit(uint32_t status) { return {.status = status, .at = {}}; }

TEST(Process, TellsItsExitOnceToEveryoneAndToLatecomers) {
  Process process("", {}, nullptr);
  std::string heard;
  process.OnExit([&](const ExitInfo& exit) { heard += "a" + std::to_string(exit.status); });
  ASSERT_TRUE(process.ClaimStart());
  process.Started([] {});
  EXPECT_EQ(process.state(), ProcessState::kRunning);
  process.Exited(Exit(3));
  process.Exited(Exit(4));
  process.OnExit([&](const ExitInfo& exit) { heard += "b" + std::to_string(exit.status); });
  EXPECT_EQ(heard, "a3b3");
  EXPECT_EQ(process.state(), ProcessState::kStopped);
}

TEST(Process, NobodyHearsOfTheEndBeforeTheBeginning) {
  Process process("", {}, nullptr);
  std::string order;
  process.OnExit([&](const ExitInfo&) { order += " exit"; });
  ASSERT_TRUE(process.ClaimStart());
  process.Exited(Exit(0));
  EXPECT_EQ(order, "");
  process.Started([&] { order += "start"; });
  EXPECT_EQ(order, "start exit");
}

TEST(Process, WhatIsKnownCountsWhateverComesInBetween) {
  Process process("", {}, nullptr);
  ASSERT_TRUE(process.ClaimStart());
  process.Started([] {});
  process.KnowExit(Exit(3));
  EXPECT_EQ(process.state(), ProcessState::kRunning);
  process.Exited(Exit(137));  // its machine ended meanwhile
  EXPECT_EQ(process.exit().status, 3u);
}

TEST(Process, StartsOnce) {
  Process process("", {}, nullptr);
  ASSERT_TRUE(process.ClaimStart());
  EXPECT_EQ(process.ClaimStart().error().code(), Code::kFailedPrecondition);
  process.ReturnStart();
  ASSERT_TRUE(process.ClaimStart());
  process.Started([] {});
  EXPECT_EQ(process.ClaimStart().error().code(), Code::kFailedPrecondition);
  process.Exited(Exit(0));
  EXPECT_EQ(process.ClaimStart().error().message(), "process has ended");
}

TEST(Process, MayEndWithoutAStart) {
  Process process("", {}, nullptr);
  process.Exited(Exit(137));
  EXPECT_EQ(process.exit().status, 137u);
  EXPECT_FALSE(process.ClaimStart());
}

}  // namespace
}  // namespace kata::sandbox
