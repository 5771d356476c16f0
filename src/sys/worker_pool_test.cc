// SPDX-License-Identifier: Apache-2.0
#include "sys/worker_pool.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <semaphore>
#include <thread>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using namespace std::chrono_literals;

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(WorkerPool, RunsEveryTaskBeforeItsDestructorReturns) {
  std::atomic<int> count = 0;
  {
    WorkerPool pool(4);
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(pool.Run([&count] { ++count; }));
  }
  EXPECT_EQ(count, 1000);
}

TEST(WorkerPool, GrowsUntilEveryBlockedTaskHasAThread) {
  constexpr int kTasks = 8;
  std::latch all_running(kTasks);
  WorkerPool pool(kTasks);
  // Ends only when all of them run at the same time.
  for (int i = 0; i < kTasks; ++i) pool.Run([&] { all_running.arrive_and_wait(); });
  all_running.wait();
  EXPECT_LE(pool.threads(), kTasks);
}

TEST(WorkerPool, StaysBelowItsBound) {
  std::counting_semaphore<> release(0);
  std::atomic<int> running = 0;
  std::optional<WorkerPool> pool(std::in_place, 2);
  for (int i = 0; i < 10; ++i) {
    pool->Run([&] {
      ++running;
      release.acquire();
      --running;
    });
  }
  EXPECT_TRUE(Eventually([&] { return running == 2; }));
  EXPECT_EQ(pool->threads(), 2U);
  release.release(10);
  pool.reset();
  EXPECT_EQ(running, 0);
}

TEST(WorkerPool, RefusesWhatItsQueueCannotHoldAndDestroysIt) {
  std::binary_semaphore release(0);
  std::binary_semaphore started(0);
  WorkerPool pool(1);
  pool.Run([&] {
    started.release();
    release.acquire();
  });
  started.acquire();
  for (size_t i = 0; i < WorkerPool::kMaxQueued; ++i) ASSERT_TRUE(pool.Run([] {}));
  const auto held = std::make_shared<int>(1);
  EXPECT_FALSE(pool.Run([held] { FAIL(); }));
  EXPECT_EQ(held.use_count(), 1);
  release.release();
}

TEST(WorkerPool, ReusesAnIdleThread) {
  WorkerPool pool(8, 1min);
  for (int i = 0; i < 20; ++i) {
    std::binary_semaphore done(0);
    pool.Run([&] { done.release(); });
    done.acquire();
  }
  // The next task can come before the last one's thread is idle again, but not eight times.
  EXPECT_LT(pool.threads(), 8U);
}

TEST(WorkerPool, EndsThreadsThatStayIdle) {
  WorkerPool pool(4, 1ms);
  std::binary_semaphore done(0);
  pool.Run([&] { done.release(); });
  done.acquire();
  EXPECT_TRUE(Eventually([&] { return pool.threads() == 0; }));
  pool.Run([&] { done.release(); });
  EXPECT_TRUE(done.try_acquire_for(10s));
}

TEST(WorkerPool, TasksCanGiveItMoreTasks) {
  std::atomic<int> count = 0;
  {
    WorkerPool pool(1);
    pool.Run([&] {
      pool.Run([&] { ++count; });
      ++count;
    });
  }
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace kata::sys
