// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/phases.h - where the time of a start goes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/log.h"

namespace kata::sandbox {

// A stopwatch with names; logs them as one line: vmm=48.2ms guest_boot=1204.0ms.
class Phases {
 public:
  // The phase that began when the one before ended, or when this object was made.
  void End(std::string_view name) {
    const auto now = Clock::now();
    const double millis = std::chrono::duration<double, std::milli>(now - last_).count();
    if (!text_.empty()) text_ += ' ';
    text_ += fmt::format("{}={:.1f}ms", name, millis);
    last_ = now;
  }

  void Log(std::string_view message, std::string_view from = {}) const {
    const double total = std::chrono::duration<double, std::milli>(last_ - begin_).count();
    const std::string total_text = fmt::format("{:.1f}ms", total);
    if (from.empty()) {
      log::Info(message, {{"phases", text_}, {"total", total_text}});
    } else {
      log::Info(message, {{"from", from}, {"phases", text_}, {"total", total_text}});
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  std::string text_;
};

}  // namespace kata::sandbox
