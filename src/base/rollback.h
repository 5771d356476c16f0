// SPDX-License-Identifier: Apache-2.0
//
// base/rollback.h - undoing a creation that stopped half-way.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace kata {

// A stack of undo steps, run last to first when the object goes out of scope, unless Release() was
// called. A step must not throw; what it cannot undo it logs itself.
class Rollback {
 public:
  using Step = std::move_only_function<void()>;

  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  Rollback(Rollback&& other) noexcept : steps_(std::exchange(other.steps_, {})) {}
  Rollback& operator=(Rollback&&) = delete;
  ~Rollback() { Run(); }

  void Add(Step step) { steps_.push_back(std::move(step)); }
  // Everything succeeded: forget the steps.
  void Release() { steps_.clear(); }
  // Undoes now.
  void Run() {
    while (!steps_.empty()) {
      Step step = std::move(steps_.back());
      steps_.pop_back();
      step();
    }
  }

 private:
  std::vector<Step> steps_;
};

}  // namespace kata
