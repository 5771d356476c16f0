// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/monitor.h - what kata-monitor knows: the sandboxes of this host and their figures.
//
// Nothing is asked before somebody wants to know. Sandboxes are those of the records below
// /run/vc/sbs whose shim runs, whoever started them. A shim that does not answer in time costs the
// answer that time, once, and its sandbox has kata_monitor_sandbox_up 0.
// Basis: Kata Containers "Kata 2.0 metrics design".
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/call_queue.h"
#include "base/result.h"
#include "host/monitor/start_times.h"
#include "host/record/record.h"
#include "metrics/histogram.h"
#include "proto/metrics.pb.h"

namespace kata::monitor {

// Safe from every thread.
class Monitor {
 public:
  // Of one sandbox; what is more is left out.
  static constexpr size_t kMostSamples = 20000;

  struct Options {
    std::chrono::milliseconds patience{5000};  // with the shims
    std::string records = sandbox::kRecordsRoot;
    std::string factory;  // kata-factory's socket; empty: there is none
  };

  explicit Monitor(Options options) : options_(std::move(options)) {}
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // The sandboxes whose shim runs.
  std::vector<sandbox::SandboxRecord> Sandboxes() const;
  // Prometheus' text of all of them, kata-monitor itself and kata-factory.
  // One at a time, so that what it takes is held once.
  // Errors  kResourceExhausted  so many have asked before that it is not this one's turn in time
  Result<std::string> AllMetrics() KATA_EXCLUDES(asking_);
  // Of one, without the label sandbox_id.
  // Errors  kNotFound  there is no such sandbox; else that its shim does not answer
  Result<std::string> MetricsOf(const std::string& sandbox);

 private:
  void AddSelf(metrics::Builder& builder) const;
  void AddFactory(metrics::Builder& builder) const;

  const Options options_;
  std::atomic<uint64_t> scrapes_ = 0;
  std::atomic<uint64_t> failures_ = 0;
  metrics::HistogramSet durations_{"kata_monitor_scrape_durations_histogram_milliseconds", {}};
  StartTimes starts_;
  CallQueue asking_;
};

}  // namespace kata::monitor
