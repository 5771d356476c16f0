// SPDX-License-Identifier: Apache-2.0
#include "base/mutex.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace kata {
namespace {

static_assert(sizeof(Mutex) == sizeof(std::mutex));
static_assert(sizeof(CondVar) == sizeof(std::condition_variable));

struct Counter {
  Mutex mutex;
  CondVar changed;
  int value KATA_GUARDED_BY(mutex) = 0;

  void Add(int amount) KATA_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    value += amount;
    changed.NotifyAll();
  }
};

TEST(Mutex, LetsOneThreadInAtATime) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 10000;
  Counter counter;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&counter] {
        for (int round = 0; round < kRounds; ++round) counter.Add(1);
      });
    }
  }
  const MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.value, kThreads * kRounds);
}

// What another thread finds; the one that holds a mutex must not try it itself.
bool Free(Mutex& mutex) {
  bool free = false;
  std::jthread([&mutex, &free] {
    if (!mutex.TryLock()) return;
    free = true;
    mutex.Unlock();
  }).join();
  return free;
}

TEST(MutexLock, HoldsTheMutexAsLongAsItLives) {
  Mutex mutex;
  {
    const MutexLock lock(mutex);
    EXPECT_FALSE(Free(mutex));
  }
  EXPECT_TRUE(Free(mutex));
}

TEST(MutexLock, CanBeGivenBackForAWhile) {
  Mutex mutex;
  {
    MutexLock lock(mutex);
    lock.Unlock();
    EXPECT_TRUE(Free(mutex));
    lock.Lock();
    EXPECT_FALSE(Free(mutex));
    lock.Unlock();
  }
  EXPECT_TRUE(Free(mutex));
}

TEST(CondVar, DoesNotWaitForWhatIsTrueAlready) {
  Counter counter;
  const MutexLock lock(counter.mutex);
  counter.changed.Wait(counter.mutex,
                       [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 0; });
  // A deadline that has passed does not make it false.
  EXPECT_TRUE(
      counter.changed.WaitUntil(counter.mutex, Deadline::At({}),
                                [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 0; }));
}

TEST(CondVar, WaitsUntilTheConditionIsTrue) {
  Counter counter;
  std::jthread other([&counter] {
    for (int i = 0; i < 3; ++i) counter.Add(1);
  });
  const MutexLock lock(counter.mutex);
  counter.changed.Wait(counter.mutex,
                       [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 3; });
  EXPECT_EQ(counter.value, 3);
}

TEST(CondVar, ReturnsAtTheDeadlineWithTheMutexHeld) {
  Counter counter;
  const MutexLock lock(counter.mutex);
  EXPECT_FALSE(
      counter.changed.WaitUntil(counter.mutex, Deadline::After(std::chrono::milliseconds(1)),
                                [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 1; }));
  EXPECT_FALSE(Free(counter.mutex));
}

TEST(CondVar, ADeadlineThatNeverComesWaitsForTheCondition) {
  Counter counter;
  std::jthread other([&counter] { counter.Add(1); });
  const MutexLock lock(counter.mutex);
  EXPECT_TRUE(
      counter.changed.WaitUntil(counter.mutex, Deadline::Never(),
                                [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 1; }));
}

TEST(CondVar, GivesTheMutexBackWhileItWaits) {
  Counter counter;
  std::atomic<bool> entered = false;
  std::jthread other([&] {
    // Gets in only because the waiting thread has let go of the mutex.
    while (!entered) std::this_thread::yield();
    counter.Add(1);
  });
  const MutexLock lock(counter.mutex);
  entered = true;
  counter.changed.Wait(counter.mutex,
                       [&]() KATA_REQUIRES(counter.mutex) { return counter.value == 1; });
  EXPECT_FALSE(Free(counter.mutex));
}

}  // namespace
}  // namespace kata
