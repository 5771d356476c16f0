// SPDX-License-Identifier: Apache-2.0
//
// sys/coalesced_task.h - work that is asked for more often than it can be done.
#pragma once

#include <functional>
#include <memory>

#include "sys/worker_pool.h"

namespace kata::sys {

// Work of which one run serves everybody who has asked before it began. However often it is asked
// for, one run is under way and one more is wanted at most, and one thread of the pool has it.
class CoalescedTask {
 public:
  // `work` runs on the pool's threads, never twice at a time. It must not throw.
  CoalescedTask(WorkerPool& pool, std::function<void()> work);
  CoalescedTask(const CoalescedTask&) = delete;
  CoalescedTask& operator=(const CoalescedTask&) = delete;
  // A run that is under way or waits for a thread is not waited for, and uses what `work` uses.
  ~CoalescedTask() = default;

  // From any thread; does not block. A run begins after this call, unless the pool refuses it: then
  // the next call asks anew.
  void Ask();

 private:
  struct State;
  WorkerPool& pool_;
  const std::shared_ptr<State> state_;
};

}  // namespace kata::sys
