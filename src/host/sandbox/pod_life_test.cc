// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/pod_life.h"

#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using State = PodLife::State;

void NoAbort() { FAIL() << "nothing is starting"; }

PodLife& Ready(PodLife& life) {
  EXPECT_TRUE(life.BeginCreate());
  life.CreateDone(true);
  EXPECT_TRUE(life.BeginStart());
  EXPECT_TRUE(life.Started());
  return life;
}

TEST(PodLife, IsCreatedOnce) {
  PodLife life;
  ASSERT_TRUE(life.BeginCreate());
  life.CreateDone(false);
  ASSERT_TRUE(life.BeginCreate()) << "nothing came of the first";
  life.CreateDone(true);
  EXPECT_EQ(life.BeginCreate().error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(life.BeginStop(NoAbort).value());
  life.Stopped();
  EXPECT_EQ(life.BeginCreate().error().code(), Code::kAlreadyExists);
}

TEST(PodLife, IsStartedOnceAndAfterItsCreation) {
  PodLife life;
  EXPECT_EQ(life.BeginStart().error().code(), Code::kFailedPrecondition);
  Ready(life);
  EXPECT_EQ(life.BeginStart().error().code(), Code::kFailedPrecondition);
  life.MachineEnded();
  EXPECT_EQ(life.BeginStart().error().code(), Code::kFailedPrecondition);
}

TEST(PodLife, WhoWaitsHearsOfTheExitOnce) {
  PodLife life;
  EXPECT_EQ(life.OnExit([](const ExitInfo&) {}).error().code(), Code::kNotFound);
  Ready(life);
  std::vector<uint32_t> heard;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(life.OnExit([&](const ExitInfo& exit) { heard.push_back(exit.status); }));
  }
  EXPECT_TRUE(life.BeginStop(NoAbort).value());
  EXPECT_TRUE(heard.empty());
  life.Stopped();
  life.Stopped();
  EXPECT_EQ(heard, (std::vector<uint32_t>{0, 0, 0}));
  ASSERT_TRUE(life.OnExit([&](const ExitInfo& exit) { heard.push_back(exit.status); }));
  EXPECT_EQ(heard.size(), 4u);
}

TEST(PodLife, AMachineThatEndsByItselfIsTheExitThatStays) {
  PodLife life;
  Ready(life).MachineEnded();
  EXPECT_EQ(life.view().state, State::kEnded);
  EXPECT_TRUE(life.BeginStop(NoAbort).value()) << "what is left has to go";
  life.Stopped();
  EXPECT_EQ(life.view().exit->status, kKilled);
  EXPECT_FALSE(life.BeginStop(NoAbort).value());
}

TEST(PodLife, AStopAbortsTheStartAndWaitsForItsEnd) {
  PodLife life;
  ASSERT_TRUE(life.BeginCreate());
  life.CreateDone(true);
  ASSERT_TRUE(life.BeginStart());
  std::promise<void> aborted;
  std::thread start([&] {
    aborted.get_future().wait();
    life.StartFailed();
  });
  EXPECT_TRUE(life.BeginStop([&] { aborted.set_value(); }).value());
  start.join();
  life.Stopped();
  EXPECT_EQ(life.view().state, State::kStopped);
}

TEST(PodLife, ASecondStopWaitsForTheFirst) {
  PodLife life;
  Ready(life);
  ASSERT_TRUE(life.BeginStop(NoAbort).value());
  auto second = std::async(std::launch::async, [&] { return life.BeginStop(NoAbort).value(); });
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  life.Stopped();
  EXPECT_FALSE(second.get());
}

TEST(PodLife, NothingStartsAfterAllHasBeenStopped) {
  PodLife life;
  ASSERT_TRUE(life.BeginCreate());
  life.CreateDone(true);
  ASSERT_TRUE(life.BeginStart());
  life.Stopped();
  EXPECT_FALSE(life.Started());
  EXPECT_EQ(life.view().state, State::kStopped);
}

}  // namespace
}  // namespace kata::sandbox
