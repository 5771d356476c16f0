// SPDX-License-Identifier: Apache-2.0
#include "sys/event_loop.h"

#include <sys/eventfd.h>

#include <array>

namespace kata::sys {
namespace {

thread_local const EventLoop* running_here = nullptr;

// epoll's 64 bits of user data: a handler that closes one descriptor and opens another in the same
// round must not make the new one receive the old one's event.
uint64_t Tag(int fd, uint64_t generation) { return (generation << 32) | static_cast<uint32_t>(fd); }

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return FailErrno("epoll_create1");
  UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return FailErrno("eventfd");
  const int wakeup_fd = wakeup.get();
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wakeup)));
  KATA_TRY(loop->Add(wakeup_fd, EPOLLIN, [wakeup_fd](uint32_t) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(wakeup_fd, &count, sizeof count);
  }));
  return loop;
}

EventLoop::~EventLoop() = default;

Result<void> EventLoop::Add(int fd, uint32_t events, Handler handler) {
  if (watches_.contains(fd)) return Fail(Code::kAlreadyExists, "descriptor is watched already");
  const uint64_t generation = next_id_++ & 0xffffffff;
  epoll_event event{.events = events, .data = {.u64 = Tag(fd, generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return FailErrno("epoll_ctl add");
  watches_[fd] = Watch{generation, std::make_shared<Handler>(std::move(handler))};
  return {};
}

Result<void> EventLoop::Modify(int fd, uint32_t events) {
  const auto it = watches_.find(fd);
  if (it == watches_.end()) return Fail(Code::kNotFound, "descriptor is not watched");
  epoll_event event{.events = events, .data = {.u64 = Tag(fd, it->second.generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return FailErrno("epoll_ctl mod");
  return {};
}

void EventLoop::Remove(int fd) {
  if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::RunAt(Clock::time_point when, Task task) {
  const TimerId id{when, next_id_++};
  timers_.emplace(id, std::move(task));
  return id;
}

void EventLoop::Post(Task task) {
  {
    const MutexLock lock(mutex_);
    posted_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wakeup_.get(), &one, sizeof one);
}

bool EventLoop::OnLoopThread() const { return running_here == this; }

void EventLoop::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wakeup_.get(), &one, sizeof one);
}

int EventLoop::NextTimeoutMillis() const {
  if (timers_.empty()) return -1;
  return Deadline::At(timers_.begin()->first.first).PollMillis();
}

void EventLoop::RunDueTimers() {
  const Clock::time_point now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

void EventLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    const MutexLock lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

Result<void> EventLoop::Run() {
  const EventLoop* const outer = std::exchange(running_here, this);
  std::array<epoll_event, 64> ready;
  for (;;) {
    RunPosted();
    {
      const MutexLock lock(mutex_);
      if (stopping_) break;
    }
    const int n = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), NextTimeoutMillis());
    if (n < 0 && errno != EINTR) {
      running_here = outer;
      return FailErrno("epoll_wait");
    }
    for (int i = 0; i < n; ++i) {
      const uint64_t tag = ready[static_cast<size_t>(i)].data.u64;
      const auto it = watches_.find(static_cast<int>(tag & 0xffffffff));
      if (it == watches_.end() || it->second.generation != tag >> 32) continue;
      const std::shared_ptr<Handler> handler = it->second.handler;
      (*handler)(ready[static_cast<size_t>(i)].events);
    }
    RunDueTimers();
  }
  running_here = outer;
  return {};
}

}  // namespace kata::sys
