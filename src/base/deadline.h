// SPDX-License-Identifier: Apache-2.0
//
// base/deadline.h - the moment after which waiting is pointless.
#pragma once

#include <algorithm>
#include <chrono>

namespace kata {

// A point on the monotonic clock, or never. Passed down unchanged, so that nested waits share one
// budget instead of adding up.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline Never() { return Deadline(Clock::time_point::max()); }
  static Deadline After(Clock::duration span) { return Deadline(Clock::now() + span); }
  static Deadline At(Clock::time_point when) { return Deadline(when); }

  bool never() const { return when_ == Clock::time_point::max(); }
  bool Passed() const { return !never() && Clock::now() >= when_; }
  Clock::time_point when() const { return when_; }

  // What is left, never negative; Clock::duration::max() for Never().
  Clock::duration Left() const {
    if (never()) return Clock::duration::max();
    return std::max(when_ - Clock::now(), Clock::duration::zero());
  }

  // What is left for poll(2) and epoll_wait(2): whole milliseconds rounded up, -1 for Never().
  int PollMillis() const {
    if (never()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(Left()).count();
    return static_cast<int>(std::min<long long>(left, 1 << 30));
  }

  // The earlier of the two.
  Deadline Earlier(Deadline other) const { return Deadline(std::min(when_, other.when_)); }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}
  Clock::time_point when_;
};

}  // namespace kata
