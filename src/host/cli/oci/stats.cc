// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/stats.h"

#include <map>
#include <string>

#include "proto/cgroups_v1.pb.h"
#include "proto/cgroups_v2.pb.h"

namespace kata::cli::oci {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kNanosPerMicro = 1000;

// A member that is zero is left out, as runc does.
void Put(Json& object, const char* key, uint64_t value) {
  if (value != 0) object[key] = value;
}

Json Object(std::initializer_list<std::pair<const char*, uint64_t>> members) {
  Json object = Json::object();
  for (const auto& [key, value] : members) Put(object, key, value);
  return object;
}

Json MemoryEntry(uint64_t limit, uint64_t usage, uint64_t max, uint64_t failures) {
  Json entry = {{"limit", limit}};
  Put(entry, "usage", usage);
  Put(entry, "max", max);
  entry["failcnt"] = failures;
  return entry;
}

Json BlockEntry(uint64_t major, uint64_t minor, const std::string& op, uint64_t value) {
  Json entry = Object({{"major", major}, {"minor", minor}});
  if (!op.empty()) entry["op"] = op;
  Put(entry, "value", value);
  return entry;
}

template <class List>
void PutBlockEntries(Json& block, const char* key, const List& entries) {
  for (const auto& entry : entries) {
    block[key].push_back(BlockEntry(entry.major(), entry.minor(), entry.op(), entry.value()));
  }
}

Stats FromV1(const kata::cgroups::v1::Metrics& metrics) {
  const auto entry = [](const auto& from) {
    return MemoryEntry(from.limit(), from.usage(), from.max(), from.failcnt());
  };
  Stats stats;
  stats.oom_kills = metrics.memory_oom_control().oom_kill();
  const auto& cpu = metrics.cpu();
  Json usage = Object({{"total", cpu.usage().total()}});
  for (const uint64_t one : cpu.usage().per_cpu()) usage["percpu"].push_back(one);
  usage["kernel"] = cpu.usage().kernel();
  usage["user"] = cpu.usage().user();
  stats.data["cpu"] = {
      {"usage", usage},
      {"throttling", Object({{"periods", cpu.throttling().periods()},
                             {"throttledPeriods", cpu.throttling().throttled_periods()},
                             {"throttledTime", cpu.throttling().throttled_time()}})}};
  const auto& memory = metrics.memory();
  Json& data = stats.data["memory"];
  data = Object({{"cache", memory.total_cache()}});
  data["usage"] = entry(memory.usage());
  data["swap"] = entry(memory.swap());
  data["kernel"] = entry(memory.kernel());
  data["kernelTCP"] = entry(memory.kernel_tcp());
  data["raw"] = Object({{"cache", memory.cache()},
                        {"rss", memory.rss()},
                        {"mapped_file", memory.mapped_file()},
                        {"pgfault", memory.pg_fault()},
                        {"pgmajfault", memory.pg_maj_fault()},
                        {"inactive_anon", memory.inactive_anon()},
                        {"active_anon", memory.active_anon()},
                        {"inactive_file", memory.inactive_file()},
                        {"active_file", memory.active_file()},
                        {"unevictable", memory.unevictable()},
                        {"total_inactive_file", memory.total_inactive_file()}});
  stats.data["pids"] =
      Object({{"current", metrics.pids().current()}, {"limit", metrics.pids().limit()}});
  Json block = Json::object();
  PutBlockEntries(block, "ioServiceBytesRecursive", metrics.blkio().io_service_bytes_recursive());
  PutBlockEntries(block, "ioServicedRecursive", metrics.blkio().io_serviced_recursive());
  stats.data["blkio"] = std::move(block);
  Json pages = Json::object();
  for (const auto& page : metrics.hugetlb()) {
    pages[page.pagesize()] = MemoryEntry(0, page.usage(), page.max(), page.failcnt());
    pages[page.pagesize()].erase("limit");
  }
  stats.data["hugetlb"] = std::move(pages);
  return stats;
}

Stats FromV2(const kata::cgroups::v2::Metrics& metrics) {
  Stats stats;
  stats.oom_kills = metrics.memory_events().oom_kill();
  const auto& cpu = metrics.cpu();
  Json usage = Object({{"total", cpu.usage_usec() * kNanosPerMicro}});
  usage["kernel"] = cpu.system_usec() * kNanosPerMicro;
  usage["user"] = cpu.user_usec() * kNanosPerMicro;
  stats.data["cpu"] = {
      {"usage", usage},
      {"throttling", Object({{"periods", cpu.nr_periods()},
                             {"throttledPeriods", cpu.nr_throttled()},
                             {"throttledTime", cpu.throttled_usec() * kNanosPerMicro}})}};
  const auto& memory = metrics.memory();
  Json& data = stats.data["memory"];
  data = Object({{"cache", memory.file()}});
  data["usage"] = MemoryEntry(memory.usage_limit(), memory.usage(), memory.max_usage(), 0);
  data["swap"] = MemoryEntry(memory.swap_limit(), memory.swap_usage(), memory.swap_max_usage(), 0);
  data["kernel"] = MemoryEntry(0, 0, 0, 0);
  data["kernelTCP"] = MemoryEntry(0, 0, 0, 0);
  data["raw"] = Object({{"anon", memory.anon()},
                        {"file", memory.file()},
                        {"kernel_stack", memory.kernel_stack()},
                        {"slab", memory.slab()},
                        {"sock", memory.sock()},
                        {"shmem", memory.shmem()},
                        {"file_mapped", memory.file_mapped()},
                        {"inactive_anon", memory.inactive_anon()},
                        {"active_anon", memory.active_anon()},
                        {"inactive_file", memory.inactive_file()},
                        {"active_file", memory.active_file()},
                        {"unevictable", memory.unevictable()},
                        {"pgfault", memory.pgfault()},
                        {"pgmajfault", memory.pgmajfault()}});
  stats.data["pids"] =
      Object({{"current", metrics.pids().current()}, {"limit", metrics.pids().limit()}});
  Json block = Json::object();
  for (const auto& one : metrics.io().usage()) {
    Json& bytes = block["ioServiceBytesRecursive"];
    bytes.push_back(BlockEntry(one.major(), one.minor(), "Read", one.rbytes()));
    bytes.push_back(BlockEntry(one.major(), one.minor(), "Write", one.wbytes()));
    Json& count = block["ioServicedRecursive"];
    count.push_back(BlockEntry(one.major(), one.minor(), "Read", one.rios()));
    count.push_back(BlockEntry(one.major(), one.minor(), "Write", one.wios()));
  }
  stats.data["blkio"] = std::move(block);
  Json pages = Json::object();
  for (const auto& page : metrics.hugetlb()) {
    pages[page.pagesize()] = Object({{"usage", page.current()}, {"max", page.max()}});
    pages[page.pagesize()]["failcnt"] = page.failcnt();
  }
  stats.data["hugetlb"] = std::move(pages);
  return stats;
}

template <class Metrics>
Json Interfaces(const Metrics& metrics) {
  Json list = Json::array();
  for (const auto& link : metrics.network()) {
    list.push_back({{"Name", link.name()},
                    {"RxBytes", link.rx_bytes()},
                    {"RxPackets", link.rx_packets()},
                    {"RxErrors", link.rx_errors()},
                    {"RxDropped", link.rx_dropped()},
                    {"TxBytes", link.tx_bytes()},
                    {"TxPackets", link.tx_packets()},
                    {"TxErrors", link.tx_errors()},
                    {"TxDropped", link.tx_dropped()}});
  }
  return list.empty() ? Json() : list;
}

template <class Metrics>
Result<Metrics> Parse(const wellknown::Any& any) {
  Metrics metrics;
  if (!metrics.ParseFromString(any.value())) {
    return Fail(Code::kInternal, "the container's metrics do not parse");
  }
  return metrics;
}

}  // namespace

Result<Stats> ReadStats(const wellknown::Any& metrics) {
  const std::string_view type = std::string_view(metrics.type_url());
  if (type.ends_with("io.containerd.cgroups.v1.Metrics")) {
    const auto parsed = KATA_TRY(Parse<kata::cgroups::v1::Metrics>(metrics));
    Stats stats = FromV1(parsed);
    stats.data["intel_rdt"] = Json::object();
    stats.data["network_interfaces"] = Interfaces(parsed);
    return stats;
  }
  if (type.ends_with("io.containerd.cgroups.v2.Metrics")) {
    const auto parsed = KATA_TRY(Parse<kata::cgroups::v2::Metrics>(metrics));
    Stats stats = FromV2(parsed);
    stats.data["intel_rdt"] = Json::object();
    stats.data["network_interfaces"] = Interfaces(parsed);
    return stats;
  }
  return Fail(Code::kInternal, "the container's metrics are of an unknown type");
}

}  // namespace kata::cli::oci
