// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/members.h"

#include <atomic>
#include <future>

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

class MembersTest : public testing::Test {
 protected:
  static std::shared_ptr<Container> Make(const std::string& id) {
    return std::make_shared<Container>(id, "/bundle");
  }
  Result<void> Begin(const std::string& id) {
    return members_.BeginCreate(Make(id), [this] { return wanted_.load(); });
  }
  void Have(const std::string& id) {
    ASSERT_TRUE(Begin(id));
    ASSERT_TRUE(members_.Keep(id));
  }

  std::atomic<bool> wanted_ = true;
  Members members_;
};

TEST_F(MembersTest, FindWhatWasCreatedAndNotWhatIsBeingCreated) {
  EXPECT_EQ(members_.Find("a").error().code(), Code::kNotFound);
  ASSERT_TRUE(Begin("a"));
  EXPECT_EQ(members_.Find("a").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Begin("a").error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(members_.Keep("a"));
  EXPECT_EQ(members_.Find("a").value()->id(), "a");
  EXPECT_EQ(members_.Abandon("a"), Members::Abandoned::kNothing);
}

TEST_F(MembersTest, ACreationWhoseCallerHasGoneIsNotKept) {
  ASSERT_TRUE(Begin("a"));
  ASSERT_TRUE(members_.CheckWanted("a"));
  wanted_ = false;
  EXPECT_EQ(members_.CheckWanted("a").error().code(), Code::kCancelled);
  EXPECT_EQ(members_.Keep("a").error().code(), Code::kCancelled);
  EXPECT_TRUE(members_.Remove("a"));
}

TEST_F(MembersTest, TheOnlyCreationIsAbandonedWithItsMachine) {
  ASSERT_TRUE(Begin("a"));
  EXPECT_EQ(members_.Abandon("a"), Members::Abandoned::kWithMachine);
  EXPECT_FALSE(members_.Keep("a"));
  auto undone = std::async(std::launch::async, [this] { members_.AwaitUndone("a"); });
  EXPECT_TRUE(members_.Remove("a"));
  undone.get();
}

TEST_F(MembersTest, ACreationBesideOthersIsAbandonedWithoutTheMachine) {
  Have("pod");
  ASSERT_TRUE(Begin("a"));
  EXPECT_EQ(members_.Abandon("a"), Members::Abandoned::kWithoutMachine);
  EXPECT_FALSE(members_.Remove("a"));
}

TEST_F(MembersTest, TheLastAbandonedOneOfSeveralTakesTheMachine) {
  ASSERT_TRUE(Begin("a"));
  ASSERT_TRUE(Begin("b"));
  EXPECT_EQ(members_.Abandon("a"), Members::Abandoned::kWithoutMachine);
  EXPECT_EQ(members_.Abandon("b"), Members::Abandoned::kWithMachine);
  EXPECT_FALSE(members_.Remove("b"));
  EXPECT_TRUE(members_.Remove("a"));
}

TEST_F(MembersTest, ACreationWaitsUntilTheMachineOfEarlierOnesHasEnded) {
  Have("a");
  EXPECT_TRUE(members_.BeginDelete("a"));
  auto begun = std::async(std::launch::async, [this] { return Begin("b"); });
  while (members_.Find("b").error().code() == Code::kNotFound) {
  }
  EXPECT_TRUE(members_.Remove("a")) << "who only waits does not keep the machine";
  members_.MachineEnded();
  EXPECT_TRUE(begun.get());
  EXPECT_TRUE(members_.Keep("b"));
}

TEST_F(MembersTest, OneOfTwoThatAreDeletedAtOnceEndsTheMachine) {
  Have("a");
  Have("b");
  EXPECT_FALSE(members_.BeginDelete("a"));
  EXPECT_FALSE(members_.BeginDelete("b"));
  EXPECT_FALSE(members_.Remove("a"));
  EXPECT_TRUE(members_.Remove("b"));
}

TEST_F(MembersTest, ACreationDoesNotGoOnInAMachineThatDidNotStart) {
  ASSERT_TRUE(Begin("a"));
  ASSERT_TRUE(Begin("b"));
  members_.LoseMachine();
  EXPECT_EQ(members_.CheckWanted("b").error().code(), Code::kUnavailable);
  EXPECT_FALSE(members_.Remove("a"));
  EXPECT_TRUE(members_.Remove("b"));
  members_.MachineEnded();
  EXPECT_TRUE(Begin("a"));
}

TEST_F(MembersTest, AShutdownIsRefusedWhileSomethingIsWanted) {
  ASSERT_TRUE(Begin("a"));
  EXPECT_EQ(members_.BeginShutdown(false), Members::Shutdown::kRefused);
  wanted_ = false;
  EXPECT_EQ(members_.BeginShutdown(false), Members::Shutdown::kBegun);
  EXPECT_FALSE(members_.Remove("a")) << "who has begun the shutdown ends the machine";
  members_.AwaitQuiet();
  EXPECT_EQ(Begin("b").error().code(), Code::kUnavailable);
}

TEST_F(MembersTest, AShutdownTakesAllAndIsBegunOnce) {
  Have("a");
  ASSERT_TRUE(Begin("b"));
  EXPECT_EQ(members_.BeginShutdown(true), Members::Shutdown::kBegun);
  auto second = std::async(std::launch::async, [this] { return members_.BeginShutdown(true); });
  EXPECT_FALSE(members_.Keep("b"));
  EXPECT_FALSE(members_.Remove("b"));
  members_.AwaitQuiet();
  EXPECT_EQ(members_.TakeAll().size(), 1u);
  members_.ShutdownDone();
  EXPECT_EQ(second.get(), Members::Shutdown::kDone);
  EXPECT_TRUE(members_.empty());
}

TEST_F(MembersTest, APodHasItsMachineWithoutContainersAndAfterThem) {
  ASSERT_TRUE(members_.Hold());
  EXPECT_EQ(Begin("a").error().code(), Code::kFailedPrecondition) << "it is not open yet";
  members_.OpenHold();
  Have("a");
  EXPECT_FALSE(members_.BeginDelete("a")) << "not the machine's last";
  EXPECT_FALSE(members_.Remove("a"));
  ASSERT_TRUE(Begin("b"));
  EXPECT_EQ(members_.Abandon("b"), Members::Abandoned::kWithoutMachine);
  EXPECT_FALSE(members_.Remove("b"));
  EXPECT_EQ(members_.BeginShutdown(false), Members::Shutdown::kRefused);
  EXPECT_EQ(members_.BeginShutdown(true), Members::Shutdown::kBegun);
  members_.ShutdownDone();
}

TEST_F(MembersTest, APodThatEndsTakesNobodyAndUndoesWhatIsBeingMade) {
  ASSERT_TRUE(members_.Hold());
  members_.OpenHold();
  Have("a");
  ASSERT_TRUE(Begin("b"));
  members_.EndHold();
  EXPECT_EQ(members_.Keep("b").error().code(), Code::kCancelled);
  EXPECT_EQ(Begin("c").error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(members_.Remove("b"));
  members_.AwaitQuiet();
  EXPECT_TRUE(members_.Find("a")) << "it can still be looked at";
  EXPECT_TRUE(members_.held());
}

TEST_F(MembersTest, APodDoesNotComeAfterContainers) {
  Have("a");
  EXPECT_EQ(members_.Hold().error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(members_.held());
  EXPECT_TRUE(members_.BeginDelete("a"));
  EXPECT_TRUE(members_.Remove("a"));
  members_.MachineEnded();
  ASSERT_TRUE(members_.Hold());
  members_.DropHold();
  Have("a");
}

}  // namespace
}  // namespace kata::sandbox
