// SPDX-License-Identifier: Apache-2.0
//
// base/mutex.h - locks that a compiler checks.
//
// clang reads the annotations below (-Wthread-safety, an error in the tidy stage): what is
// KATA_GUARDED_BY a mutex is touched under it only, and a function that KATA_REQUIRES one is called
// under it only. For g++ they are nothing, and Mutex, MutexLock and CondVar are std::mutex,
// std::lock_guard and std::condition_variable without a cost.
//
//   class Queue {
//    public:
//     void Push(int value) KATA_EXCLUDES(mutex_) {
//       const MutexLock lock(mutex_);
//       values_.push_back(value);
//       changed_.NotifyOne();
//     }
//     bool AwaitFull(Deadline deadline) KATA_EXCLUDES(mutex_) {
//       const MutexLock lock(mutex_);
//       return changed_.WaitUntil(
//           mutex_, deadline, [this]() KATA_REQUIRES(mutex_) { return values_.size() == kFull; });
//     }
//
//    private:
//     Mutex mutex_;
//     CondVar changed_;  // values_ has grown
//     std::vector<int> values_ KATA_GUARDED_BY(mutex_);
//   };
//
// A mutex stands right before what it guards. Nothing that can wait for a guest, a VMM or a peer is
// called under one. The compiler does not follow a lock into a lambda: one that runs under it says
// KATA_REQUIRES itself, as above. It does not look into constructors and destructors either, where
// nobody else has the object.
// Basis: clang's "Thread Safety Analysis".
#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/deadline.h"

#if defined(__clang__)
#define KATA_THREAD_ANNOTATION(attribute) __attribute__((attribute))
#else
#define KATA_THREAD_ANNOTATION(attribute)
#endif

// A member or variable that is read and written under the mutex only.
#define KATA_GUARDED_BY(mutex) KATA_THREAD_ANNOTATION(guarded_by(mutex))
// A pointer whose target is; the pointer itself is not.
#define KATA_PT_GUARDED_BY(mutex) KATA_THREAD_ANNOTATION(pt_guarded_by(mutex))

// A function that is called under the mutexes, and returns with them held.
#define KATA_REQUIRES(...) KATA_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
// A function that takes the mutexes itself: who holds one already would wait for ever.
#define KATA_EXCLUDES(...) KATA_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
// A function that returns with the mutexes taken, or given back. Without an argument: its object.
#define KATA_ACQUIRE(...) KATA_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define KATA_RELEASE(...) KATA_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
// The first argument is what the function returns when it has taken the mutexes.
#define KATA_TRY_ACQUIRE(...) KATA_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
// A function that returns a reference to the mutex, which then counts as the same one.
#define KATA_RETURN_CAPABILITY(mutex) KATA_THREAD_ANNOTATION(lock_returned(mutex))

// A mutex that is taken before, or after, the ones named, where a thread holds both.
#define KATA_ACQUIRED_BEFORE(...) KATA_THREAD_ANNOTATION(acquired_before(__VA_ARGS__))
#define KATA_ACQUIRED_AFTER(...) KATA_THREAD_ANNOTATION(acquired_after(__VA_ARGS__))

// A type that is a lock, and one whose objects hold a lock as long as they live.
#define KATA_CAPABILITY(kind) KATA_THREAD_ANNOTATION(capability(kind))
#define KATA_SCOPED_CAPABILITY KATA_THREAD_ANNOTATION(scoped_lockable)

// A function in which the compiler would be wrong. A comment beside it says why it is right.
#define KATA_NO_THREAD_SAFETY_ANALYSIS KATA_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace kata {

class CondVar;

// One thread at a time. Not to be taken twice by one thread.
class KATA_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() KATA_ACQUIRE() { native_.lock(); }
  void Unlock() KATA_RELEASE() { native_.unlock(); }
  // True when it was free, and is taken now.
  [[nodiscard]] bool TryLock() KATA_TRY_ACQUIRE(true) { return native_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex native_;
};

// Holds a mutex as long as it lives, but for what is between Unlock() and Lock(), which come in
// pairs or as one last Unlock().
class KATA_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) KATA_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() KATA_RELEASE() {
    if (held_) mutex_.Unlock();
  }

  void Unlock() KATA_RELEASE() {
    held_ = false;
    mutex_.Unlock();
  }
  void Lock() KATA_ACQUIRE() {
    mutex_.Lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Where a thread waits, without the mutex, until another has made a condition true.
//
// `condition` is called under the mutex, first before any waiting, and again after each
// notification; it must not throw. What makes it true is done under the mutex, and followed by a
// notification. The mutex is held again when a wait returns.
class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // Returns once `condition` is true.
  template <class Condition>
  void Wait(Mutex& mutex, Condition condition) KATA_REQUIRES(mutex) KATA_NO_THREAD_SAFETY_ANALYSIS {
    // Whoever calls has the mutex, and has it again afterwards.
    std::unique_lock native(mutex.native_, std::adopt_lock);
    native_.wait(native, std::move(condition));
    native.release();
  }

  // Returns once `condition` is true or the deadline has passed, and what `condition` was last.
  template <class Condition>
  [[nodiscard]] bool WaitUntil(Mutex& mutex, Deadline deadline, Condition condition)
      KATA_REQUIRES(mutex) KATA_NO_THREAD_SAFETY_ANALYSIS {
    // libstdc++ overflows on the far end of the clock.
    if (deadline.never()) {
      Wait(mutex, std::move(condition));
      return true;
    }
    std::unique_lock native(mutex.native_, std::adopt_lock);
    const bool met = native_.wait_until(native, deadline.when(), std::move(condition));
    native.release();
    return met;
  }

  void NotifyOne() { native_.notify_one(); }
  void NotifyAll() { native_.notify_all(); }

 private:
  std::condition_variable native_;
};

}  // namespace kata
