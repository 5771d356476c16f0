// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/scheduling.h - how the kernel is to schedule a process and its I/O.
//
// Basis: OCI runtime-spec config.md "scheduler", "ioPriority", "execCPUAffinity";
// sched_setattr(2), ioprio_set(2), sched_setaffinity(2).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::guest {

// What sched_setattr(2) takes.
struct SchedulerAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

struct SchedulingPlan {
  std::optional<SchedulerAttributes> scheduler;
  std::optional<int> io_priority;  // as ioprio_set(2) takes it
  std::vector<int> cpus;           // empty: all
};

// Errors  kInvalidArgument  an unknown policy, flag or class, or a list that is none
Result<SchedulingPlan> PlanScheduling(const oci::Process& process);

// For the calling process. Needs CAP_SYS_NICE for what only root may ask.
Result<void> ApplyScheduling(const SchedulingPlan& plan);

}  // namespace kata::guest
