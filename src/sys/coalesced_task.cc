// SPDX-License-Identifier: Apache-2.0
#include "sys/coalesced_task.h"

#include <utility>

#include "base/mutex.h"

namespace kata::sys {

struct CoalescedTask::State {
  explicit State(std::function<void()> work_in) : work(std::move(work_in)) {}

  const std::function<void()> work;
  Mutex mutex;  // not held while the work runs
  bool queued KATA_GUARDED_BY(mutex) = false;
  bool running KATA_GUARDED_BY(mutex) = false;
  bool wanted KATA_GUARDED_BY(mutex) = false;  // once more after the present run

  void Run() KATA_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    queued = false;
    running = true;
    do {
      wanted = false;
      lock.Unlock();
      work();
      lock.Lock();
    } while (wanted);
    running = false;
  }
};

CoalescedTask::CoalescedTask(WorkerPool& pool, std::function<void()> work)
    : pool_(pool), state_(std::make_shared<State>(std::move(work))) {}

void CoalescedTask::Ask() {
  State& state = *state_;
  {
    const MutexLock lock(state.mutex);
    if (state.running) state.wanted = true;
    if (state.running || state.queued) return;
    state.queued = true;
  }
  if (pool_.Run([held = state_] { held->Run(); })) return;
  const MutexLock lock(state.mutex);
  state.queued = false;
}

}  // namespace kata::sys
