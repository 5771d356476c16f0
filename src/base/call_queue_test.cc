// SPDX-License-Identifier: Apache-2.0
#include "base/call_queue.h"

#include <chrono>
#include <future>
#include <vector>

#include <gtest/gtest.h>

namespace kata {
namespace {

using std::chrono::milliseconds;

Deadline Now() { return Deadline::After(milliseconds(0)); }

TEST(CallQueue, GivesATurnThatIsFreeWhateverTheDeadline) {
  CallQueue queue;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(queue.Begin(Now()));
    const CallTurn turn(queue);
  }
}

TEST(CallQueue, LetsWhoWaitsGiveUpAndTheOthersPass) {
  CallQueue queue;
  ASSERT_TRUE(queue.Begin(Now()));
  // Runs on another thread, as all who wait do.
  const auto begin = [&queue](Deadline deadline) {
    return std::async(std::launch::async, [&queue, deadline] {
      const bool begun = queue.Begin(deadline);
      if (begun) queue.End();
      return begun;
    });
  };
  EXPECT_FALSE(begin(Deadline::After(milliseconds(10))).get());
  auto patient = begin(Deadline::Never());
  EXPECT_FALSE(begin(Now()).get());
  queue.End();
  EXPECT_TRUE(patient.get());
}

TEST(CallQueue, GivesOneTurnAtATime) {
  constexpr int kCallers = 8;
  constexpr int kRounds = 200;
  CallQueue queue;
  int calls = 0;  // guarded by the turn
  std::vector<std::future<void>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::async(std::launch::async, [&] {
      for (int round = 0; round < kRounds; ++round) {
        ASSERT_TRUE(queue.Begin(Deadline::Never()));
        const CallTurn turn(queue);
        ++calls;
      }
    }));
  }
  for (auto& caller : callers) caller.get();
  EXPECT_EQ(calls, kCallers * kRounds);
}

}  // namespace
}  // namespace kata
