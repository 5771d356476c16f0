// SPDX-License-Identifier: Apache-2.0
//
// host/shim/pod_metrics.h - what a pod uses, from what its containers do.
#pragma once

#include <vector>

#include "proto/agent.pb.h"

namespace kata::shim {

// Processor time, memory, swap, processes and the keys of memory.stat are added up. Limits stay
// empty: the pod has none beside its machine. The network is the one that all of them share. Pure.
agent::StatsContainerResponse SumOfStats(const std::vector<agent::StatsContainerResponse>& all);

}  // namespace kata::shim
