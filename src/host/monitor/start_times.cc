// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/start_times.h"

#include <string_view>

#include "host/record/timing.h"

namespace kata::monitor {
namespace {

void Count(metrics::HistogramSet& phases, const sandbox::StartTiming& timing) {
  const std::string from = timing.from.empty() ? "running" : timing.from;
  double total = 0;
  const auto add = [&](const std::string& part, const std::vector<sandbox::Phase>& list) {
    for (const sandbox::Phase& phase : list) {
      phases.Observe({part, phase.name, from}, phase.millis);
      // The machine's phases are part of the creation's "boot".
      if (part != "machine") total += phase.millis;
    }
  };
  add("machine", timing.booted);
  add("create", timing.created);
  add("start", timing.started);
  phases.Observe({"total", "total", from}, total);
}

}  // namespace

void StartTimes::Look(const std::vector<sandbox::SandboxRecord>& records, const std::string& root) {
  const MutexLock lock(mutex_);
  std::set<Name> now;
  for (const sandbox::SandboxRecord& record : records) {
    for (const std::string& container : record.containers) {
      const Name name(record.owner, container);
      if (!seen_.contains(name)) {
        const auto timing = sandbox::LoadTimingIn(record.id, container, root);
        // It has not been started yet.
        if (!timing) continue;
        Count(phases_, *timing);
      }
      now.insert(name);
    }
  }
  seen_ = std::move(now);
}

}  // namespace kata::monitor
