// SPDX-License-Identifier: Apache-2.0
//
// host/shim/idle_end.h - ends a shim that nobody needs.
//
// containerd asks a shim to shut down after its last container, but not when it gives up between
// starting the shim and creating a container, or is killed in between.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "sys/event_loop.h"

namespace kata::shim {

class IdleEnd {
 public:
  static constexpr auto kPatience = std::chrono::minutes(2);

  // `is_idle` is asked and `end` is called on the loop's thread; `end` at most once. The first wait
  // begins now.
  IdleEnd(sys::EventLoop& loop, std::chrono::milliseconds patience, std::function<bool()> is_idle,
          std::function<void()> end);
  IdleEnd(const IdleEnd&) = delete;
  IdleEnd& operator=(const IdleEnd&) = delete;

  // From any thread: what made the shim idle may just have happened, so the wait begins anew.
  void Watch();

 private:
  void Arm();

  sys::EventLoop& loop_;
  const std::chrono::milliseconds patience_;
  const std::function<bool()> is_idle_;
  const std::function<void()> end_;
  std::optional<sys::EventLoop::TimerId> timer_;  // the loop's thread only
};

}  // namespace kata::shim
