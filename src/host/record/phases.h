// SPDX-License-Identifier: Apache-2.0
//
// host/record/phases.h - where the time of a start goes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "host/record/timing.h"

namespace kata::sandbox {

// A stopwatch with names; logs them as one line: vmm=48.2ms guest_boot=1204.0ms.
class Phases {
 public:
  // The phase that began when the one before ended, or when this object was made.
  void End(std::string_view name) {
    const auto now = Clock::now();
    list_.push_back(
        {std::string(name), std::chrono::duration<double, std::milli>(now - last_).count()});
    last_ = now;
  }

  const std::vector<Phase>& list() const { return list_; }

  void Log(std::string_view message, std::string_view from = {}) const {
    std::string text;
    for (const Phase& phase : list_) {
      text += fmt::format("{}{}={:.1f}ms", text.empty() ? "" : " ", phase.name, phase.millis);
    }
    const double total = std::chrono::duration<double, std::milli>(last_ - begin_).count();
    const std::string total_text = fmt::format("{:.1f}ms", total);
    if (from.empty()) {
      log::Info(message, {{"phases", text}, {"total", total_text}});
    } else {
      log::Info(message, {{"from", from}, {"phases", text}, {"total", total_text}});
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::vector<Phase> list_;
};

}  // namespace kata::sandbox
