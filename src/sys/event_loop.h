// SPDX-License-Identifier: Apache-2.0
//
// sys/event_loop.h - one thread that waits for many things.
//
// An EventLoop calls handlers when descriptors become ready, when timers run out, and when another
// thread posts work. In the guest agent it is the only thread; on the host it carries all socket
// and stdio traffic of a shim while calls run on a pool.
//
// Everything except Post() and Stop() belongs to the loop's own thread (or to the time before
// Run()). Handlers must not block. Idle, the loop uses no CPU time.
// Basis: epoll(7), eventfd(2).
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

class EventLoop {
 public:
  using Task = std::move_only_function<void()>;
  // `events` are EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLPRI as they came.
  using Handler = std::move_only_function<void(uint32_t events)>;
  using Clock = std::chrono::steady_clock;
  using TimerId = std::pair<Clock::time_point, uint64_t>;

  static Result<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Watches `fd`, which stays the caller's and must be removed before it is closed.
  // `events` may be 0 to hear of EPOLLHUP and EPOLLERR only. Level-triggered.
  // Errors  kAlreadyExists  `fd` is watched already
  Result<void> Add(int fd, uint32_t events, Handler handler);
  Result<void> Modify(int fd, uint32_t events);
  // A handler may remove itself; no handler of `fd` runs afterwards. Unknown descriptors are fine.
  void Remove(int fd);

  TimerId RunAt(Clock::time_point when, Task task);
  TimerId RunAfter(Clock::duration span, Task task) {
    return RunAt(Clock::now() + span, std::move(task));
  }
  // Does nothing for a timer that ran already.
  void Cancel(TimerId id) { timers_.erase(id); }

  // From any thread: runs `task` on the loop, in the order of posting. Work posted before Run() is
  // kept; work posted after the loop has ended is destroyed with the loop, without having run.
  void Post(Task task);

  // True on the thread that is inside Run().
  bool OnLoopThread() const;

  // Returns after Stop(), or with the error of epoll itself.
  Result<void> Run();
  // From any thread.
  void Stop();

 private:
  struct Watch {
    uint64_t generation;
    std::shared_ptr<Handler> handler;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup)
      : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  int NextTimeoutMillis() const;
  void RunDueTimers();
  void RunPosted();

  UniqueFd epoll_;
  UniqueFd wakeup_;
  std::unordered_map<int, Watch> watches_;
  std::map<TimerId, Task> timers_;
  uint64_t next_id_ = 1;

  Mutex mutex_;
  std::vector<Task> posted_ KATA_GUARDED_BY(mutex_);
  bool stopping_ KATA_GUARDED_BY(mutex_) = false;
};

}  // namespace kata::sys
