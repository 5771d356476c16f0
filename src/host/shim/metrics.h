// SPDX-License-Identifier: Apache-2.0
//
// host/shim/metrics.h - a guest's statistics in the form that containerd's clients read.
//
// The agent's times are nanoseconds and its memory details a map whose keys are those of the
// guest's cgroup version (memory.stat of v1 or v2): both are understood, whichever form the host
// wants. "No limit" is the greatest value in both worlds.
// Basis: containerd/cgroups, cgroup1/stats and cgroup2/stats metrics.proto.
#pragma once

#include "proto/agent.pb.h"
#include "proto/wellknown.pb.h"

namespace kata::shim {

enum class MetricsVersion { kV1, kV2 };

// The one that the host's own containers have: v2 where /sys/fs/cgroup is a cgroup2 file system,
// v1 elsewhere, hybrid hosts included.
MetricsVersion HostMetricsVersion();

// An Any of type io.containerd.cgroups.v1.Metrics or io.containerd.cgroups.v2.Metrics. Pure.
wellknown::Any ToMetrics(const agent::StatsContainerResponse& stats, MetricsVersion version);

}  // namespace kata::shim
