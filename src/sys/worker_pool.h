// SPDX-License-Identifier: Apache-2.0
//
// sys/worker_pool.h - threads for calls that block.
//
// A thread is made when a task finds none idle, and ends after it was idle for a while, so an idle
// process keeps no stacks. Stacks are small (256 KiB): tasks keep big buffers on the heap.
// Threads inherit the signal mask of whoever calls Run().
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace kata::sys {

class WorkerPool {
 public:
  // Tasks that may wait for a thread. More are refused.
  static constexpr size_t kMaxQueued = 16384;

  // max_threads  at least 1; tasks beyond it wait, first come first served
  // idle_time    how long a thread without work lives on
  explicit WorkerPool(size_t max_threads,
                      std::chrono::milliseconds idle_time = std::chrono::seconds(5));
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  // Waits until every task, waiting ones included, has run. Not on one of the pool's own threads.
  ~WorkerPool();

  // From any thread, the pool's own included; never blocks. Tasks must not throw.
  // Returns false, and destroys the task without having run it, when kMaxQueued tasks wait already
  // or when the system gives not even one thread.
  bool Run(std::move_only_function<void()> task);

  // Threads that exist now.
  size_t threads() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kata::sys
