// SPDX-License-Identifier: Apache-2.0
#include "host/shim/pod_metrics.h"

#include <limits>

namespace kata::shim {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

void AddUsage(const agent::MemoryData& one, agent::MemoryData* sum) {
  sum->set_usage(sum->usage() + one.usage());
  sum->set_max_usage(sum->max_usage() + one.max_usage());
  sum->set_failcnt(sum->failcnt() + one.failcnt());
  sum->set_limit(kUnlimited);
}

void AddMemory(const agent::MemoryStats& one, agent::MemoryStats* sum) {
  sum->set_cache(sum->cache() + one.cache());
  AddUsage(one.usage(), sum->mutable_usage());
  AddUsage(one.swap_usage(), sum->mutable_swap_usage());
  AddUsage(one.kernel_usage(), sum->mutable_kernel_usage());
  auto& stats = *sum->mutable_stats();
  for (const auto& [key, value] : one.stats()) stats[key] += value;
}

void AddCpu(const agent::CpuStats& one, agent::CpuStats* sum) {
  agent::CpuUsage& usage = *sum->mutable_cpu_usage();
  const agent::CpuUsage& more = one.cpu_usage();
  usage.set_total_usage(usage.total_usage() + more.total_usage());
  usage.set_usage_in_kernelmode(usage.usage_in_kernelmode() + more.usage_in_kernelmode());
  usage.set_usage_in_usermode(usage.usage_in_usermode() + more.usage_in_usermode());
  agent::ThrottlingData& held = *sum->mutable_throttling_data();
  held.set_periods(held.periods() + one.throttling_data().periods());
  held.set_throttled_periods(held.throttled_periods() + one.throttling_data().throttled_periods());
  held.set_throttled_time(held.throttled_time() + one.throttling_data().throttled_time());
}

}  // namespace

agent::StatsContainerResponse SumOfStats(const std::vector<agent::StatsContainerResponse>& all) {
  agent::StatsContainerResponse sum;
  agent::CgroupStats& total = *sum.mutable_cgroup_stats();
  for (const agent::StatsContainerResponse& one : all) {
    const agent::CgroupStats& stats = one.cgroup_stats();
    AddCpu(stats.cpu_stats(), total.mutable_cpu_stats());
    AddMemory(stats.memory_stats(), total.mutable_memory_stats());
    agent::PidsStats& pids = *total.mutable_pids_stats();
    pids.set_current(pids.current() + stats.pids_stats().current());
    if (sum.network_stats_size() == 0) *sum.mutable_network_stats() = one.network_stats();
  }
  return sum;
}

}  // namespace kata::shim
