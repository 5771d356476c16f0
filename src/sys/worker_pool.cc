// SPDX-License-Identifier: Apache-2.0
#include "sys/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/mutex.h"

namespace kata::sys {
namespace {

constexpr size_t kStackSize = 256 << 10;

}  // namespace

// Shared with the threads, which are detached: one that is about to end may still touch it when
// the pool's destructor has returned.
struct WorkerPool::State {
  State(size_t max_threads_in, std::chrono::milliseconds idle_time_in)
      : max_threads(std::max<size_t>(max_threads_in, 1)), idle_time(idle_time_in) {}

  const size_t max_threads;
  const std::chrono::milliseconds idle_time;
  Mutex mutex;
  CondVar work_or_end;
  CondVar thread_ended;
  std::deque<std::move_only_function<void()>> queue KATA_GUARDED_BY(mutex);
  size_t threads KATA_GUARDED_BY(mutex) = 0;
  size_t idle KATA_GUARDED_BY(mutex) = 0;
  bool ending KATA_GUARDED_BY(mutex) = false;

  void Work();
  static bool StartThread(const std::shared_ptr<State>& state);
};

void WorkerPool::State::Work() {
  MutexLock lock(mutex);
  for (;;) {
    if (queue.empty()) {
      ++idle;
      (void)work_or_end.WaitUntil(mutex, Deadline::After(idle_time), [this]() KATA_REQUIRES(mutex) {
        return ending || !queue.empty();
      });
      --idle;
      if (queue.empty()) break;
    }
    std::move_only_function<void()> task = std::move(queue.front());
    queue.pop_front();
    lock.Unlock();
    task();
    task = nullptr;
    lock.Lock();
  }
  --threads;
  thread_ended.NotifyAll();
}

bool WorkerPool::State::StartThread(const std::shared_ptr<State>& state) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackSize);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto* argument = new std::shared_ptr<State>(state);
  pthread_t thread;
  const int error = ::pthread_create(
      &thread, &attributes,
      [](void* raw) -> void* {
        const std::unique_ptr<std::shared_ptr<State>> own(
            static_cast<std::shared_ptr<State>*>(raw));
        (*own)->Work();
        return nullptr;
      },
      argument);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) delete argument;
  return error == 0;
}

WorkerPool::WorkerPool(size_t max_threads, std::chrono::milliseconds idle_time)
    : state_(std::make_shared<State>(max_threads, idle_time)) {}

WorkerPool::~WorkerPool() {
  State& state = *state_;
  const MutexLock lock(state.mutex);
  state.ending = true;
  state.work_or_end.NotifyAll();
  state.thread_ended.Wait(state.mutex,
                          [&state]() KATA_REQUIRES(state.mutex) { return state.threads == 0; });
}

bool WorkerPool::Run(std::move_only_function<void()> task) {
  const MutexLock lock(state_->mutex);
  if (state_->queue.size() >= kMaxQueued) return false;
  // An idle thread that was woken for an earlier task still counts as idle until it runs.
  if (state_->queue.size() >= state_->idle && state_->threads < state_->max_threads) {
    // Counted before it exists: it blocks on the mutex that this call holds.
    ++state_->threads;
    if (!State::StartThread(state_)) --state_->threads;
    if (state_->threads == 0) return false;
  }
  state_->queue.push_back(std::move(task));
  state_->work_or_end.NotifyOne();
  return true;
}

size_t WorkerPool::threads() const {
  const MutexLock lock(state_->mutex);
  return state_->threads;
}

}  // namespace kata::sys
