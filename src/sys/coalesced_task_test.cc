// SPDX-License-Identifier: Apache-2.0
#include "sys/coalesced_task.h"

#include <atomic>
#include <optional>
#include <semaphore>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

TEST(CoalescedTask, TakesOneThreadAndRunsOnceMoreHoweverOftenItIsAskedForMeanwhile) {
  std::binary_semaphore begun(0);
  std::counting_semaphore<> proceed(0);
  std::atomic<int> runs = 0;
  std::optional<WorkerPool> pool(std::in_place, 64);
  CoalescedTask task(*pool, [&] {
    if (++runs == 1) begun.release();
    proceed.acquire();
  });
  task.Ask();
  begun.acquire();
  for (int i = 0; i < 1000; ++i) task.Ask();
  EXPECT_EQ(pool->threads(), 1U);
  proceed.release(2);
  pool.reset();
  EXPECT_EQ(runs, 2);
}

TEST(CoalescedTask, RunsForWhoeverAsksAfterItHasBegun) {
  std::atomic<int> asked = 0;
  std::atomic<int> seen = 0;
  {
    WorkerPool pool(2);
    CoalescedTask task(pool, [&] { seen = asked.load(); });
    for (int i = 0; i < 1000; ++i) {
      ++asked;
      task.Ask();
    }
    // The pool's end waits for the last run.
  }
  EXPECT_EQ(seen, 1000);
}

TEST(CoalescedTask, CanBeAskedForAgainAfterThePoolHasRefusedIt) {
  std::binary_semaphore begun(0);
  std::binary_semaphore proceed(0);
  std::atomic<int> runs = 0;
  std::optional<WorkerPool> pool(std::in_place, 1);
  CoalescedTask task(*pool, [&] { ++runs; });
  pool->Run([&] {
    begun.release();
    proceed.acquire();
  });
  begun.acquire();
  for (size_t i = 0; i < WorkerPool::kMaxQueued; ++i) ASSERT_TRUE(pool->Run([] {}));
  task.Ask();
  proceed.release();
  std::binary_semaphore drained(0);
  while (!pool->Run([&] { drained.release(); })) {
  }
  drained.acquire();
  EXPECT_EQ(runs, 0);
  task.Ask();
  pool.reset();
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace kata::sys
