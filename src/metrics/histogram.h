// SPDX-License-Identifier: Apache-2.0
//
// metrics/histogram.h - how long things of several kinds took.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "metrics/builder.h"

namespace kata::metrics {

// A histogram a set of labels' values. Safe from every thread.
class HistogramSet {
 public:
  // Upper bounds in milliseconds; what is longer counts in "+Inf" alone.
  static constexpr std::array<double, 12> kBounds = {1,  2,   4,   8,   16,   32,
                                                     64, 128, 256, 512, 2048, 8192};
  // Others than the first so many are not counted.
  static constexpr size_t kMostKinds = 128;

  // `labels`: the names of the labels that Observe() gets the values of.
  HistogramSet(std::string_view name, std::vector<std::string> labels)
      : name_(name), labels_(std::move(labels)) {}

  void Observe(const std::vector<std::string>& values, double millis) KATA_EXCLUDES(mutex_);
  void Observe(const std::vector<std::string>& values, std::chrono::nanoseconds took) {
    Observe(values, std::chrono::duration<double, std::milli>(took).count());
  }
  void AddTo(Builder& builder) const KATA_EXCLUDES(mutex_);

 private:
  struct Counts {
    std::array<uint64_t, kBounds.size()> up_to{};  // of each bound, without those below it
    uint64_t all = 0;
    double sum = 0;
  };

  const std::string name_;
  const std::vector<std::string> labels_;
  mutable Mutex mutex_;
  std::map<std::vector<std::string>, Counts> kinds_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::metrics
