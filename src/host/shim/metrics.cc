// SPDX-License-Identifier: Apache-2.0
#include "host/shim/metrics.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "proto/cgroups_v1.pb.h"
#include "proto/cgroups_v2.pb.h"

namespace kata::shim {
namespace {

namespace v1 = cgroups::v1;
namespace v2 = cgroups::v2;

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kNanosPerMicro = 1000;

using Details = google::protobuf::Map<std::string, uint64_t>;

// The first of `keys` that the guest's memory.stat has: its version decides which one that is.
uint64_t Detail(const Details& details, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (key == nullptr) continue;
    if (const auto found = details.find(key); found != details.end()) return found->second;
  }
  return 0;
}

uint64_t Minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

// One figure of version 1: of the cgroup alone and with its children. A version 2 cgroup has only
// the latter.
struct V1Detail {
  void (v1::MemoryStat::*set)(uint64_t);
  void (v1::MemoryStat::*set_total)(uint64_t);
  const char* v1_key;
  const char* v1_total_key;
  const char* v2_key;
};

constexpr V1Detail kV1Details[] = {
    {&v1::MemoryStat::set_cache, &v1::MemoryStat::set_total_cache, "cache", "total_cache", "file"},
    {&v1::MemoryStat::set_rss, &v1::MemoryStat::set_total_rss, "rss", "total_rss", "anon"},
    {&v1::MemoryStat::set_rss_huge, &v1::MemoryStat::set_total_rss_huge, "rss_huge",
     "total_rss_huge", "anon_thp"},
    {&v1::MemoryStat::set_mapped_file, &v1::MemoryStat::set_total_mapped_file, "mapped_file",
     "total_mapped_file", "file_mapped"},
    {&v1::MemoryStat::set_dirty, &v1::MemoryStat::set_total_dirty, "dirty", "total_dirty",
     "file_dirty"},
    {&v1::MemoryStat::set_writeback, &v1::MemoryStat::set_total_writeback, "writeback",
     "total_writeback", "file_writeback"},
    {&v1::MemoryStat::set_pg_pg_in, &v1::MemoryStat::set_total_pg_pg_in, "pgpgin", "total_pgpgin",
     nullptr},
    {&v1::MemoryStat::set_pg_pg_out, &v1::MemoryStat::set_total_pg_pg_out, "pgpgout",
     "total_pgpgout", nullptr},
    {&v1::MemoryStat::set_pg_fault, &v1::MemoryStat::set_total_pg_fault, "pgfault", "total_pgfault",
     "pgfault"},
    {&v1::MemoryStat::set_pg_maj_fault, &v1::MemoryStat::set_total_pg_maj_fault, "pgmajfault",
     "total_pgmajfault", "pgmajfault"},
    {&v1::MemoryStat::set_inactive_anon, &v1::MemoryStat::set_total_inactive_anon, "inactive_anon",
     "total_inactive_anon", "inactive_anon"},
    {&v1::MemoryStat::set_active_anon, &v1::MemoryStat::set_total_active_anon, "active_anon",
     "total_active_anon", "active_anon"},
    {&v1::MemoryStat::set_inactive_file, &v1::MemoryStat::set_total_inactive_file, "inactive_file",
     "total_inactive_file", "inactive_file"},
    {&v1::MemoryStat::set_active_file, &v1::MemoryStat::set_total_active_file, "active_file",
     "total_active_file", "active_file"},
    {&v1::MemoryStat::set_unevictable, &v1::MemoryStat::set_total_unevictable, "unevictable",
     "total_unevictable", "unevictable"},
};

struct V2Detail {
  void (v2::MemoryStat::*set)(uint64_t);
  const char* v2_key;
  const char* v1_key;
};

constexpr V2Detail kV2Details[] = {
    {&v2::MemoryStat::set_anon, "anon", "total_rss"},
    {&v2::MemoryStat::set_file, "file", "total_cache"},
    {&v2::MemoryStat::set_kernel_stack, "kernel_stack", nullptr},
    {&v2::MemoryStat::set_slab, "slab", nullptr},
    {&v2::MemoryStat::set_sock, "sock", nullptr},
    {&v2::MemoryStat::set_shmem, "shmem", "total_shmem"},
    {&v2::MemoryStat::set_file_mapped, "file_mapped", "total_mapped_file"},
    {&v2::MemoryStat::set_file_dirty, "file_dirty", "total_dirty"},
    {&v2::MemoryStat::set_file_writeback, "file_writeback", "total_writeback"},
    {&v2::MemoryStat::set_anon_thp, "anon_thp", "total_rss_huge"},
    {&v2::MemoryStat::set_inactive_anon, "inactive_anon", "total_inactive_anon"},
    {&v2::MemoryStat::set_active_anon, "active_anon", "total_active_anon"},
    {&v2::MemoryStat::set_inactive_file, "inactive_file", "total_inactive_file"},
    {&v2::MemoryStat::set_active_file, "active_file", "total_active_file"},
    {&v2::MemoryStat::set_unevictable, "unevictable", "total_unevictable"},
    {&v2::MemoryStat::set_slab_reclaimable, "slab_reclaimable", nullptr},
    {&v2::MemoryStat::set_slab_unreclaimable, "slab_unreclaimable", nullptr},
    {&v2::MemoryStat::set_pgfault, "pgfault", "total_pgfault"},
    {&v2::MemoryStat::set_pgmajfault, "pgmajfault", "total_pgmajfault"},
    {&v2::MemoryStat::set_workingset_nodereclaim, "workingset_nodereclaim", nullptr},
    {&v2::MemoryStat::set_pgrefill, "pgrefill", nullptr},
    {&v2::MemoryStat::set_pgscan, "pgscan", nullptr},
    {&v2::MemoryStat::set_pgsteal, "pgsteal", nullptr},
    {&v2::MemoryStat::set_pgactivate, "pgactivate", nullptr},
    {&v2::MemoryStat::set_pgdeactivate, "pgdeactivate", nullptr},
    {&v2::MemoryStat::set_pglazyfree, "pglazyfree", nullptr},
    {&v2::MemoryStat::set_pglazyfreed, "pglazyfreed", nullptr},
    {&v2::MemoryStat::set_thp_fault_alloc, "thp_fault_alloc", nullptr},
    {&v2::MemoryStat::set_thp_collapse_alloc, "thp_collapse_alloc", nullptr},
};

template <class Network>
void FillNetwork(const agent::StatsContainerResponse& stats,
                 google::protobuf::RepeatedPtrField<Network>* networks) {
  for (const agent::NetworkStats& from : stats.network_stats()) {
    Network* to = networks->Add();
    to->set_name(from.name());
    to->set_rx_bytes(from.rx_bytes());
    to->set_rx_packets(from.rx_packets());
    to->set_rx_errors(from.rx_errors());
    to->set_rx_dropped(from.rx_dropped());
    to->set_tx_bytes(from.tx_bytes());
    to->set_tx_packets(from.tx_packets());
    to->set_tx_errors(from.tx_errors());
    to->set_tx_dropped(from.tx_dropped());
  }
}

void FillEntry(const agent::MemoryData& from, v1::MemoryEntry* to) {
  to->set_limit(from.limit());
  to->set_usage(from.usage());
  to->set_max(from.max_usage());
  to->set_failcnt(from.failcnt());
}

void FillMemory(const agent::MemoryStats& from, v1::MemoryStat* to) {
  for (const V1Detail& detail : kV1Details) {
    const uint64_t own = Detail(from.stats(), {detail.v1_key, detail.v2_key});
    (to->*detail.set)(own);
    (to->*detail.set_total)(Detail(from.stats(), {detail.v1_total_key, detail.v2_key}));
  }
  if (to->cache() == 0) to->set_cache(from.cache());
  const auto& details = from.stats();
  to->set_hierarchical_memory_limit(details.contains("hierarchical_memory_limit")
                                        ? details.at("hierarchical_memory_limit")
                                        : from.usage().limit());
  to->set_hierarchical_swap_limit(details.contains("hierarchical_memsw_limit")
                                      ? details.at("hierarchical_memsw_limit")
                                      : from.swap_usage().limit());
  FillEntry(from.usage(), to->mutable_usage());
  FillEntry(from.swap_usage(), to->mutable_swap());
  FillEntry(from.kernel_usage(), to->mutable_kernel());
  // Nobody counts it, but containerd's own metrics take it to be there.
  (void)to->mutable_kernel_tcp();
}

void FillBlkioList(const google::protobuf::RepeatedPtrField<agent::BlkioStatsEntry>& from,
                   google::protobuf::RepeatedPtrField<v1::BlkIOEntry>* to) {
  for (const agent::BlkioStatsEntry& entry : from) {
    v1::BlkIOEntry* copy = to->Add();
    copy->set_op(entry.op());
    copy->set_major(entry.major());
    copy->set_minor(entry.minor());
    copy->set_value(entry.value());
  }
}

void FillBlkio(const agent::BlkioStats& from, v1::BlkIOStat* to) {
  FillBlkioList(from.io_service_bytes_recursive(), to->mutable_io_service_bytes_recursive());
  FillBlkioList(from.io_serviced_recursive(), to->mutable_io_serviced_recursive());
  FillBlkioList(from.io_queued_recursive(), to->mutable_io_queued_recursive());
  FillBlkioList(from.io_service_time_recursive(), to->mutable_io_service_time_recursive());
  FillBlkioList(from.io_wait_time_recursive(), to->mutable_io_wait_time_recursive());
  FillBlkioList(from.io_merged_recursive(), to->mutable_io_merged_recursive());
  FillBlkioList(from.io_time_recursive(), to->mutable_io_time_recursive());
  FillBlkioList(from.sectors_recursive(), to->mutable_sectors_recursive());
}

v1::Metrics ToV1(const agent::StatsContainerResponse& stats) {
  const agent::CgroupStats& from = stats.cgroup_stats();
  v1::Metrics to;
  for (const auto& [size, pages] : from.hugetlb_stats()) {
    v1::HugetlbStat* entry = to.add_hugetlb();
    entry->set_pagesize(size);
    entry->set_usage(pages.usage());
    entry->set_max(pages.max_usage());
    entry->set_failcnt(pages.failcnt());
  }
  to.mutable_pids()->set_current(from.pids_stats().current());
  to.mutable_pids()->set_limit(from.pids_stats().limit());
  const agent::CpuUsage& usage = from.cpu_stats().cpu_usage();
  v1::CPUUsage* cpu = to.mutable_cpu()->mutable_usage();
  cpu->set_total(usage.total_usage());
  cpu->set_kernel(usage.usage_in_kernelmode());
  cpu->set_user(usage.usage_in_usermode());
  *cpu->mutable_per_cpu() = usage.percpu_usage();
  const agent::ThrottlingData& throttling = from.cpu_stats().throttling_data();
  to.mutable_cpu()->mutable_throttling()->set_periods(throttling.periods());
  to.mutable_cpu()->mutable_throttling()->set_throttled_periods(throttling.throttled_periods());
  to.mutable_cpu()->mutable_throttling()->set_throttled_time(throttling.throttled_time());
  FillMemory(from.memory_stats(), to.mutable_memory());
  to.mutable_memory_oom_control()->set_oom_kill(Detail(from.memory_stats().stats(), {"oom_kill"}));
  FillBlkio(from.blkio_stats(), to.mutable_blkio());
  FillNetwork(stats, to.mutable_network());
  return to;
}

void FillMemory(const agent::MemoryStats& from, v2::MemoryStat* to) {
  for (const V2Detail& detail : kV2Details) {
    (to->*detail.set)(Detail(from.stats(), {detail.v2_key, detail.v1_key}));
  }
  // Kernels since 5.9 count these for anonymous and file memory apart.
  to->set_workingset_refault(Detail(from.stats(), {"workingset_refault"}) +
                             Detail(from.stats(), {"workingset_refault_anon"}) +
                             Detail(from.stats(), {"workingset_refault_file"}));
  to->set_workingset_activate(Detail(from.stats(), {"workingset_activate"}) +
                              Detail(from.stats(), {"workingset_activate_anon"}) +
                              Detail(from.stats(), {"workingset_activate_file"}));
  if (to->file() == 0) to->set_file(from.cache());
  to->set_usage(from.usage().usage());
  to->set_usage_limit(from.usage().limit());
  to->set_max_usage(from.usage().max_usage());
  // In the protocol swap is memory and swap together, as in version 1; some agents in version 2
  // guests send swap alone, which then is usually less than the memory.
  const agent::MemoryData& swap = from.swap_usage();
  const bool together = swap.usage() >= from.usage().usage();
  to->set_swap_usage(together ? swap.usage() - from.usage().usage() : swap.usage());
  to->set_swap_max_usage(together ? Minus(swap.max_usage(), from.usage().max_usage())
                                  : swap.max_usage());
  if (swap.limit() == kNoLimit || !together) {
    to->set_swap_limit(swap.limit());
  } else {
    to->set_swap_limit(Minus(swap.limit(), from.usage().limit()));
  }
}

void FillIo(const agent::BlkioStats& from, v2::IOStat* to) {
  std::map<std::pair<uint64_t, uint64_t>, v2::IOEntry*> devices;
  const auto entry_of = [&](const agent::BlkioStatsEntry& entry) {
    v2::IOEntry*& device = devices[{entry.major(), entry.minor()}];
    if (device == nullptr) {
      device = to->add_usage();
      device->set_major(entry.major());
      device->set_minor(entry.minor());
    }
    return device;
  };
  for (const agent::BlkioStatsEntry& entry : from.io_service_bytes_recursive()) {
    if (entry.op() == "Read" || entry.op() == "read") entry_of(entry)->set_rbytes(entry.value());
    if (entry.op() == "Write" || entry.op() == "write") entry_of(entry)->set_wbytes(entry.value());
  }
  for (const agent::BlkioStatsEntry& entry : from.io_serviced_recursive()) {
    if (entry.op() == "Read" || entry.op() == "read") entry_of(entry)->set_rios(entry.value());
    if (entry.op() == "Write" || entry.op() == "write") entry_of(entry)->set_wios(entry.value());
  }
}

v2::Metrics ToV2(const agent::StatsContainerResponse& stats) {
  const agent::CgroupStats& from = stats.cgroup_stats();
  v2::Metrics to;
  to.mutable_pids()->set_current(from.pids_stats().current());
  // The protocol writes 0 for no limit.
  const uint64_t pids_limit = from.pids_stats().limit();
  to.mutable_pids()->set_limit(pids_limit == 0 ? kNoLimit : pids_limit);
  const agent::CpuUsage& usage = from.cpu_stats().cpu_usage();
  const agent::ThrottlingData& throttling = from.cpu_stats().throttling_data();
  v2::CPUStat* cpu = to.mutable_cpu();
  cpu->set_usage_usec(usage.total_usage() / kNanosPerMicro);
  cpu->set_user_usec(usage.usage_in_usermode() / kNanosPerMicro);
  cpu->set_system_usec(usage.usage_in_kernelmode() / kNanosPerMicro);
  cpu->set_nr_periods(throttling.periods());
  cpu->set_nr_throttled(throttling.throttled_periods());
  cpu->set_throttled_usec(throttling.throttled_time() / kNanosPerMicro);
  FillMemory(from.memory_stats(), to.mutable_memory());
  to.mutable_memory_events()->set_max(from.memory_stats().usage().failcnt());
  to.mutable_memory_events()->set_oom_kill(Detail(from.memory_stats().stats(), {"oom_kill"}));
  FillIo(from.blkio_stats(), to.mutable_io());
  for (const auto& [size, pages] : from.hugetlb_stats()) {
    v2::HugeTlbStat* entry = to.add_hugetlb();
    entry->set_pagesize(size);
    entry->set_current(pages.usage());
    entry->set_failcnt(pages.failcnt());
  }
  FillNetwork(stats, to.mutable_network());
  return to;
}

}  // namespace

MetricsVersion HostMetricsVersion() {
  struct statfs status{};
  if (::statfs("/sys/fs/cgroup", &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC) {
    return MetricsVersion::kV2;
  }
  return MetricsVersion::kV1;
}

wellknown::Any ToMetrics(const agent::StatsContainerResponse& stats, MetricsVersion version) {
  wellknown::Any any;
  if (version == MetricsVersion::kV1) {
    any.set_type_url("io.containerd.cgroups.v1.Metrics");
    any.set_value(ToV1(stats).SerializeAsString());
  } else {
    any.set_type_url("io.containerd.cgroups.v2.Metrics");
    any.set_value(ToV2(stats).SerializeAsString());
  }
  return any;
}

}  // namespace kata::shim
