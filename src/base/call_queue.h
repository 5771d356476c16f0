// SPDX-License-Identifier: Apache-2.0
//
// base/call_queue.h - calls to a peer that must come one after another.
//
// A lock would keep its waiting threads for as long as the peer lets the first of them wait. Here
// each gives up at a deadline of its own, and turns come in the order in which they were asked for.
// clang checks it as it checks a mutex (base/mutex.h): what is KATA_GUARDED_BY a queue is touched
// by who has the turn only.
//
//   Result<void> Monitor::Send(std::string_view line, Deadline deadline) {
//     if (!sending_.Begin(deadline)) return Fail(Code::kDeadlineExceeded, "...");
//     const CallTurn turn(sending_);
//     return WriteAll(line, deadline);
//   }
#pragma once

#include <cstdint>
#include <deque>

#include "base/deadline.h"
#include "base/mutex.h"

namespace kata {

class KATA_CAPABILITY("call queue") CallQueue {
 public:
  CallQueue() = default;
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  // Waits for the turn, behind all who have asked before. False when the deadline passes first; a
  // turn that is free is had even then. Who has a turn does not ask for another one.
  [[nodiscard]] bool Begin(Deadline deadline) KATA_TRY_ACQUIRE(true) {
    const MutexLock lock(mutex_);
    const uint64_t ticket = next_++;
    waiting_.push_back(ticket);
    if (changed_.WaitUntil(mutex_, deadline,
                           [&]() KATA_REQUIRES(mutex_) { return waiting_.front() == ticket; })) {
      return true;
    }
    std::erase(waiting_, ticket);
    return false;
  }
  // However long it takes: where those who are before are known to come to an end.
  void Begin() KATA_ACQUIRE() KATA_NO_THREAD_SAFETY_ANALYSIS {
    // True whenever it returns, which the compiler cannot know.
    (void)Begin(Deadline::Never());
  }
  void End() KATA_RELEASE() {
    const MutexLock lock(mutex_);
    waiting_.pop_front();
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;  // somebody else is the first
  uint64_t next_ KATA_GUARDED_BY(mutex_) = 0;
  // The first one has the turn.
  std::deque<uint64_t> waiting_ KATA_GUARDED_BY(mutex_);
};

// Gives the turn back that Begin() has given.
class KATA_SCOPED_CAPABILITY CallTurn {
 public:
  explicit CallTurn(CallQueue& queue) KATA_REQUIRES(queue) : queue_(queue) {}
  CallTurn(const CallTurn&) = delete;
  CallTurn& operator=(const CallTurn&) = delete;
  ~CallTurn() KATA_RELEASE() { queue_.End(); }

 private:
  CallQueue& queue_;
};

}  // namespace kata
