// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/metrics.h - figures of the guest and of the agent as Prometheus text.
#pragma once

#include <cstdint>
#include <string>

namespace kata::guest {

// What the agent knows by itself.
struct AgentCounts {
  uint64_t scrapes = 0;  // with this one
  size_t containers = 0;
  size_t processes = 0;  // of containers, that the host knows by name
};

// The families kata_guest_* and kata_agent_* of metrics/catalogue.h. Reads them below `proc`, which
// is /proc or a directory that looks like it; files that are missing leave their figures out. So
// are disks that were never used, and events of /proc/vmstat that have never happened.
std::string FormatMetrics(const std::string& proc, const AgentCounts& counts);

}  // namespace kata::guest
