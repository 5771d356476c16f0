// SPDX-License-Identifier: Apache-2.0
#include "host/shim/metrics.h"

#include <limits>

#include <gtest/gtest.h>

#include "proto/cgroups_v1.pb.h"
#include "proto/cgroups_v2.pb.h"

namespace kata::shim {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

void AddIo(google::protobuf::RepeatedPtrField<agent::BlkioStatsEntry>* list, uint64_t minor_number,
           const char* op, uint64_t value) {
  agent::BlkioStatsEntry* entry = list->Add();
  entry->set_major(8);
  entry->set_minor(minor_number);
  entry->set_op(op);
  entry->set_value(value);
}

// As an agent in a guest with cgroup version 2 sends it.
agent::StatsContainerResponse Example() {
  agent::StatsContainerResponse stats;
  agent::CgroupStats* cgroup = stats.mutable_cgroup_stats();
  agent::CpuUsage* cpu = cgroup->mutable_cpu_stats()->mutable_cpu_usage();
  cpu->set_total_usage(7'000'500);
  cpu->set_usage_in_usermode(4'000'000);
  cpu->set_usage_in_kernelmode(3'000'000);
  cpu->add_percpu_usage(7'000'500);
  agent::ThrottlingData* throttling = cgroup->mutable_cpu_stats()->mutable_throttling_data();
  throttling->set_periods(10);
  throttling->set_throttled_periods(3);
  throttling->set_throttled_time(9'000'000);
  agent::MemoryStats* memory = cgroup->mutable_memory_stats();
  memory->mutable_usage()->set_usage(1000);
  memory->mutable_usage()->set_max_usage(2000);
  memory->mutable_usage()->set_limit(4000);
  memory->mutable_usage()->set_failcnt(6);
  memory->mutable_swap_usage()->set_usage(1100);
  memory->mutable_swap_usage()->set_limit(5000);
  memory->mutable_kernel_usage()->set_usage(50);
  memory->set_cache(300);
  (*memory->mutable_stats())["anon"] = 500;
  (*memory->mutable_stats())["file"] = 300;
  (*memory->mutable_stats())["file_mapped"] = 20;
  (*memory->mutable_stats())["pgfault"] = 33;
  (*memory->mutable_stats())["slab"] = 44;
  (*memory->mutable_stats())["oom_kill"] = 2;
  (*memory->mutable_stats())["workingset_refault_anon"] = 1;
  (*memory->mutable_stats())["workingset_refault_file"] = 2;
  cgroup->mutable_pids_stats()->set_current(5);
  cgroup->mutable_pids_stats()->set_limit(100);
  agent::BlkioStats* io = cgroup->mutable_blkio_stats();
  AddIo(io->mutable_io_service_bytes_recursive(), 0, "Read", 11);
  AddIo(io->mutable_io_service_bytes_recursive(), 0, "Write", 12);
  AddIo(io->mutable_io_service_bytes_recursive(), 16, "Read", 13);
  AddIo(io->mutable_io_serviced_recursive(), 0, "Read", 1);
  AddIo(io->mutable_io_serviced_recursive(), 0, "Write", 2);
  agent::HugetlbStats pages;
  pages.set_usage(2);
  pages.set_max_usage(4);
  pages.set_failcnt(1);
  (*cgroup->mutable_hugetlb_stats())["2MB"] = pages;
  agent::NetworkStats* network = stats.add_network_stats();
  network->set_name("eth0");
  network->set_rx_bytes(1);
  network->set_rx_packets(2);
  network->set_rx_errors(3);
  network->set_rx_dropped(4);
  network->set_tx_bytes(5);
  network->set_tx_packets(6);
  network->set_tx_errors(7);
  network->set_tx_dropped(8);
  return stats;
}

template <class Metrics>
Metrics Convert(const agent::StatsContainerResponse& stats, MetricsVersion version,
                const char* type) {
  const wellknown::Any any = ToMetrics(stats, version);
  EXPECT_EQ(any.type_url(), type);
  Metrics metrics;
  EXPECT_TRUE(metrics.ParseFromString(any.value()));
  return metrics;
}

cgroups::v1::Metrics V1(const agent::StatsContainerResponse& stats) {
  return Convert<cgroups::v1::Metrics>(stats, MetricsVersion::kV1,
                                       "io.containerd.cgroups.v1.Metrics");
}
cgroups::v2::Metrics V2(const agent::StatsContainerResponse& stats) {
  return Convert<cgroups::v2::Metrics>(stats, MetricsVersion::kV2,
                                       "io.containerd.cgroups.v2.Metrics");
}

template <class Network>
void ExpectNetwork(const Network& network) {
  EXPECT_EQ(network.name(), "eth0");
  EXPECT_EQ(network.rx_bytes(), 1U);
  EXPECT_EQ(network.rx_packets(), 2U);
  EXPECT_EQ(network.rx_errors(), 3U);
  EXPECT_EQ(network.rx_dropped(), 4U);
  EXPECT_EQ(network.tx_bytes(), 5U);
  EXPECT_EQ(network.tx_packets(), 6U);
  EXPECT_EQ(network.tx_errors(), 7U);
  EXPECT_EQ(network.tx_dropped(), 8U);
}

TEST(Metrics, VersionOneKeepsNanosecondsAndMapsTheGuestsMemoryNames) {
  const auto metrics = V1(Example());
  EXPECT_EQ(metrics.cpu().usage().total(), 7'000'500U);
  EXPECT_EQ(metrics.cpu().usage().user(), 4'000'000U);
  EXPECT_EQ(metrics.cpu().usage().kernel(), 3'000'000U);
  EXPECT_EQ(metrics.cpu().usage().per_cpu_size(), 1);
  EXPECT_EQ(metrics.cpu().throttling().throttled_time(), 9'000'000U);
  EXPECT_EQ(metrics.memory().rss(), 500U);
  EXPECT_EQ(metrics.memory().total_rss(), 500U);
  EXPECT_EQ(metrics.memory().cache(), 300U);
  EXPECT_EQ(metrics.memory().mapped_file(), 20U);
  EXPECT_EQ(metrics.memory().pg_fault(), 33U);
  EXPECT_EQ(metrics.memory().usage().usage(), 1000U);
  EXPECT_EQ(metrics.memory().usage().max(), 2000U);
  EXPECT_EQ(metrics.memory().usage().limit(), 4000U);
  EXPECT_EQ(metrics.memory().usage().failcnt(), 6U);
  EXPECT_EQ(metrics.memory().swap().usage(), 1100U);
  EXPECT_EQ(metrics.memory().kernel().usage(), 50U);
  EXPECT_EQ(metrics.memory().hierarchical_memory_limit(), 4000U);
  EXPECT_EQ(metrics.pids().current(), 5U);
  EXPECT_EQ(metrics.pids().limit(), 100U);
  ASSERT_EQ(metrics.blkio().io_service_bytes_recursive_size(), 3);
  EXPECT_EQ(metrics.blkio().io_service_bytes_recursive(1).op(), "Write");
  ASSERT_EQ(metrics.hugetlb_size(), 1);
  EXPECT_EQ(metrics.hugetlb(0).pagesize(), "2MB");
  EXPECT_EQ(metrics.hugetlb(0).max(), 4U);
  ASSERT_EQ(metrics.network_size(), 1);
  ExpectNetwork(metrics.network(0));
}

TEST(Metrics, VersionTwoCountsMicrosecondsAndSwapAlone) {
  const auto metrics = V2(Example());
  EXPECT_EQ(metrics.cpu().usage_usec(), 7000U);
  EXPECT_EQ(metrics.cpu().user_usec(), 4000U);
  EXPECT_EQ(metrics.cpu().system_usec(), 3000U);
  EXPECT_EQ(metrics.cpu().nr_periods(), 10U);
  EXPECT_EQ(metrics.cpu().nr_throttled(), 3U);
  EXPECT_EQ(metrics.cpu().throttled_usec(), 9000U);
  EXPECT_EQ(metrics.memory().anon(), 500U);
  EXPECT_EQ(metrics.memory().file(), 300U);
  EXPECT_EQ(metrics.memory().slab(), 44U);
  EXPECT_EQ(metrics.memory().workingset_refault(), 3U);
  EXPECT_EQ(metrics.memory().usage(), 1000U);
  EXPECT_EQ(metrics.memory().usage_limit(), 4000U);
  EXPECT_EQ(metrics.memory().max_usage(), 2000U);
  EXPECT_EQ(metrics.memory().swap_usage(), 100U);
  EXPECT_EQ(metrics.memory().swap_limit(), 1000U);
  EXPECT_EQ(metrics.memory_events().max(), 6U);
  EXPECT_EQ(metrics.memory_events().oom_kill(), 2U);
  EXPECT_EQ(metrics.pids().limit(), 100U);
  ASSERT_EQ(metrics.io().usage_size(), 2);
  EXPECT_EQ(metrics.io().usage(0).rbytes(), 11U);
  EXPECT_EQ(metrics.io().usage(0).wbytes(), 12U);
  EXPECT_EQ(metrics.io().usage(0).rios(), 1U);
  EXPECT_EQ(metrics.io().usage(0).wios(), 2U);
  EXPECT_EQ(metrics.io().usage(1).minor(), 16U);
  ASSERT_EQ(metrics.hugetlb_size(), 1);
  EXPECT_EQ(metrics.hugetlb(0).current(), 2U);
  ASSERT_EQ(metrics.network_size(), 1);
  ExpectNetwork(metrics.network(0));
}

TEST(Metrics, NoLimitStaysTheGreatestValue) {
  agent::StatsContainerResponse stats;
  agent::MemoryStats* memory = stats.mutable_cgroup_stats()->mutable_memory_stats();
  memory->mutable_usage()->set_limit(kNoLimit);
  memory->mutable_swap_usage()->set_limit(kNoLimit);
  EXPECT_EQ(V1(stats).memory().usage().limit(), kNoLimit);
  EXPECT_EQ(V2(stats).memory().usage_limit(), kNoLimit);
  EXPECT_EQ(V2(stats).memory().swap_limit(), kNoLimit);
  EXPECT_EQ(V2(stats).pids().limit(), kNoLimit);
}

TEST(Metrics, AGuestWithVersionOneIsUnderstood) {
  agent::StatsContainerResponse stats;
  auto& details = *stats.mutable_cgroup_stats()->mutable_memory_stats()->mutable_stats();
  details["rss"] = 1;
  details["total_rss"] = 2;
  details["total_cache"] = 3;
  details["pgpgin"] = 4;
  details["hierarchical_memory_limit"] = 5;
  EXPECT_EQ(V1(stats).memory().rss(), 1U);
  EXPECT_EQ(V1(stats).memory().total_rss(), 2U);
  EXPECT_EQ(V1(stats).memory().pg_pg_in(), 4U);
  EXPECT_EQ(V1(stats).memory().hierarchical_memory_limit(), 5U);
  EXPECT_EQ(V2(stats).memory().anon(), 2U);
  EXPECT_EQ(V2(stats).memory().file(), 3U);
}

// For containerd's own metrics.
TEST(Metrics, VersionOneHasEveryPartThatContainerdTakesToBeThere) {
  cgroups::v1::Metrics metrics;
  const auto any = ToMetrics(agent::StatsContainerResponse(), MetricsVersion::kV1);
  ASSERT_TRUE(metrics.ParseFromString(any.value()));
  EXPECT_TRUE(metrics.cpu().has_usage());
  EXPECT_TRUE(metrics.cpu().has_throttling());
  EXPECT_TRUE(metrics.memory().has_usage());
  EXPECT_TRUE(metrics.memory().has_swap());
  EXPECT_TRUE(metrics.memory().has_kernel());
  EXPECT_TRUE(metrics.memory().has_kernel_tcp());
}

TEST(Metrics, AnEmptyAnswerBecomesEmptyMetrics) {
  EXPECT_EQ(V1({}).memory().rss(), 0U);
  EXPECT_EQ(V2({}).cpu().usage_usec(), 0U);
}

}  // namespace
}  // namespace kata::shim
