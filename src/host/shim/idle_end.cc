// SPDX-License-Identifier: Apache-2.0
#include "host/shim/idle_end.h"

#include <utility>

namespace kata::shim {

IdleEnd::IdleEnd(sys::EventLoop& loop, std::chrono::milliseconds patience,
                 std::function<bool()> is_idle, std::function<void()> end)
    : loop_(loop), patience_(patience), is_idle_(std::move(is_idle)), end_(std::move(end)) {
  Watch();
}

void IdleEnd::Watch() {
  loop_.Post([this] { Arm(); });
}

void IdleEnd::Arm() {
  if (timer_) loop_.Cancel(*timer_);
  timer_.reset();
  if (!is_idle_()) return;  // whatever ends that calls Watch()
  timer_ = loop_.RunAfter(patience_, [this] {
    timer_.reset();
    if (is_idle_()) end_();
  });
}

}  // namespace kata::shim
