// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/test_loop.h - an event loop for tests, which run on its thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "sys/event_loop.h"

namespace kata::guest {

// Runs the loop for a while, again and again: the loop itself can be run only once, so what keeps
// it going is a timer that asks whether the test has what it wants.
class TestLoop {
 public:
  sys::EventLoop& loop() { return *loop_; }

  // Runs `steps` in order, each as soon as its condition holds. Returns how many were run when the
  // last one was, or after ten seconds.
  struct Step {
    std::function<bool()> when;
    std::function<void()> then;
  };
  size_t Run(std::vector<Step> steps) {
    steps_ = std::move(steps);
    deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    loop_->Post([this] { Tick(); });
    (void)loop_->Run();
    return next_;
  }

 private:
  void Tick() {
    while (next_ < steps_.size() && steps_[next_].when()) steps_[next_++].then();
    if (next_ == steps_.size() || std::chrono::steady_clock::now() > deadline_) {
      return loop_->Stop();
    }
    loop_->RunAfter(std::chrono::milliseconds(1), [this] { Tick(); });
  }

  std::unique_ptr<sys::EventLoop> loop_ = sys::EventLoop::Create().value();
  std::vector<Step> steps_;
  size_t next_ = 0;
  std::chrono::steady_clock::time_point deadline_;
};

// For callers that ask whether somebody still wants the answer.
inline bool Always() { return true; }

}  // namespace kata::guest
