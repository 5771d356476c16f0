// SPDX-License-Identifier: Apache-2.0
#include "host/shim/pod_metrics.h"

#include <gtest/gtest.h>

namespace kata::shim {
namespace {

TEST(SumOfStats, AddsWhatContainersUse) {
  std::vector<agent::StatsContainerResponse> all(2);
  for (size_t i = 0; i < all.size(); ++i) {
    agent::CgroupStats& stats = *all[i].mutable_cgroup_stats();
    stats.mutable_cpu_stats()->mutable_cpu_usage()->set_total_usage(100 * (i + 1));
    stats.mutable_memory_stats()->mutable_usage()->set_usage(10);
    stats.mutable_memory_stats()->mutable_usage()->set_limit(1000);
    (*stats.mutable_memory_stats()->mutable_stats())["anon"] = 7;
    stats.mutable_pids_stats()->set_current(2);
    stats.mutable_pids_stats()->set_limit(5);
    all[i].add_network_stats()->set_name("eth0");
  }
  const auto sum = SumOfStats(all);
  EXPECT_EQ(sum.cgroup_stats().cpu_stats().cpu_usage().total_usage(), 300u);
  EXPECT_EQ(sum.cgroup_stats().memory_stats().usage().usage(), 20u);
  EXPECT_EQ(sum.cgroup_stats().memory_stats().stats().at("anon"), 14u);
  EXPECT_EQ(sum.cgroup_stats().pids_stats().current(), 4u);
  EXPECT_EQ(sum.cgroup_stats().pids_stats().limit(), 0u);
  EXPECT_EQ(sum.network_stats_size(), 1) << "they share it";
}

TEST(SumOfStats, OfNoContainerIsNothing) {
  EXPECT_EQ(SumOfStats({}).cgroup_stats().cpu_stats().cpu_usage().total_usage(), 0u);
}

}  // namespace
}  // namespace kata::shim
