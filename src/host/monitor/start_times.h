// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/start_times.h - how long the starts of containers took, part by part.
//
// Shims leave each start's timing beside their record. Each is counted once, when it is first seen:
// so a container that is made and removed between two looks is not.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "host/record/record.h"
#include "metrics/histogram.h"

namespace kata::monitor {

class StartTimes {
 public:
  // Counts what is new in the sandboxes that there are now.
  void Look(const std::vector<sandbox::SandboxRecord>& records,
            const std::string& root = sandbox::kRecordsRoot) KATA_EXCLUDES(mutex_);
  void AddTo(metrics::Builder& builder) const { phases_.AddTo(builder); }

 private:
  using Name = std::pair<std::string, std::string>;  // of the sandbox's shim and the container

  metrics::HistogramSet phases_{"kata_monitor_start_phase_milliseconds", {"part", "phase", "from"}};
  Mutex mutex_;
  std::set<Name> seen_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::monitor
