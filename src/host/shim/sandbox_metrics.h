// SPDX-License-Identifier: Apache-2.0
//
// host/shim/sandbox_metrics.h - "Metrics" of the shim's own service: the figures of one sandbox,
// for kata-monitor and kata-runtime.
//
// What the host knows comes from /proc, the sandbox's record and the kernel's counters. The guest
// is asked for the rest and has kGuestPatience for all of it: after that, the answer is without its
// figures. What it says is hostile (metrics/parse.h). Nothing is kept between two calls but what
// the share of a processor is counted from. Basis: Kata Containers "Kata 2.0 metrics design".
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/sandbox/sandbox.h"
#include "metrics/builder.h"
#include "metrics/histogram.h"
#include "metrics/process_figures.h"
#include "proto/metrics.pb.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

class SandboxMetrics {
 public:
  static constexpr std::chrono::milliseconds kGuestPatience{3000};
  // Who comes on top is refused: each may hold a thread for as long as the guest is waited for.
  static constexpr int kMostCalls = 2;

  // Both outlive the calls.
  SandboxMetrics(sandbox::Sandbox& sandbox, sys::WorkerPool& pool);
  SandboxMetrics(const SandboxMetrics&) = delete;
  SandboxMetrics& operator=(const SandboxMetrics&) = delete;

  // Before the server serves. From then on its calls are timed.
  void Register(ttrpc::Server& server);

  // Errors  kResourceExhausted  so many ask already
  Result<metrics::Metrics> Collect() KATA_EXCLUDES(mutex_);

 private:
  // What the machine and the containers in it have used at one moment.
  struct Use {
    std::chrono::steady_clock::time_point at;
    double host_seconds = 0;
    double container_seconds = 0;
    double host_bytes = 0;
    double container_bytes = 0;
  };

  // The processes of the machine, the guest beside its containers' use, and the network.
  void AddMachine(metrics::Builder& builder, const sandbox::Guest& guest, Use* use);
  // Whether the guest has answered.
  bool AddGuest(metrics::Builder& builder, const sandbox::Guest& guest, Use* use);
  void AddNetwork(metrics::Builder& builder);
  void AddOverhead(metrics::Builder& builder, const Use& use) KATA_EXCLUDES(mutex_);

  sandbox::Sandbox& sandbox_;
  sys::WorkerPool& pool_;
  // Answers that come when this has gone still count in it.
  const std::shared_ptr<metrics::HistogramSet> call_times_;
  std::atomic<int> calls_ = 0;
  Mutex mutex_;
  std::optional<Use> last_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::shim
