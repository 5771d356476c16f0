// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cgroup_stats.h"

#include <dirent.h>

#include <charconv>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kNanosPerMicro = 1000;

// The text up to `separator`; `text` keeps what follows.
std::string_view Take(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

std::string_view TakeWord(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return Take(text, ' ');
}

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return status == std::errc() && end == text.data() + text.size();
}

uint64_t NumberOr(std::string_view text, uint64_t otherwise) {
  uint64_t number = 0;
  return ParseNumber(text, &number) ? number : otherwise;
}

class Reader {
 public:
  explicit Reader(const std::string& cgroup) : cgroup_(cgroup) {}

  // Empty where there is no such file.
  std::string Text(std::string_view file) const {
    auto text = sys::ReadFile(fmt::format("{}/{}", cgroup_, file), 1 << 20);
    return text ? *std::move(text) : std::string();
  }
  // `otherwise` where there is no such file, kNoLimit for "max".
  uint64_t Number(std::string_view file, uint64_t otherwise = 0) const {
    const std::string text = Text(file);
    const std::string_view word = std::string_view(text).substr(0, text.find('\n'));
    if (word == "max") return kNoLimit;
    return NumberOr(word, otherwise);
  }

 private:
  const std::string& cgroup_;
};

void ReadCpu(const Reader& reader, agent::CpuStats* cpu) {
  const std::string text = reader.Text("cpu.stat");
  agent::CpuUsage* usage = cpu->mutable_cpu_usage();
  usage->set_total_usage(FlatValue(text, "usage_usec") * kNanosPerMicro);
  usage->set_usage_in_usermode(FlatValue(text, "user_usec") * kNanosPerMicro);
  usage->set_usage_in_kernelmode(FlatValue(text, "system_usec") * kNanosPerMicro);
  agent::ThrottlingData* throttling = cpu->mutable_throttling_data();
  throttling->set_periods(FlatValue(text, "nr_periods"));
  throttling->set_throttled_periods(FlatValue(text, "nr_throttled"));
  throttling->set_throttled_time(FlatValue(text, "throttled_usec") * kNanosPerMicro);
}

void ReadMemory(const Reader& reader, agent::MemoryStats* memory) {
  const std::string text = reader.Text("memory.stat");
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = Take(rest, '\n');
    const std::string_view key = TakeWord(line);
    uint64_t value = 0;
    if (ParseNumber(line, &value)) (*memory->mutable_stats())[std::string(key)] = value;
  }
  memory->set_cache(FlatValue(text, "file"));
  memory->set_use_hierarchy(true);

  const std::string events = reader.Text("memory.events");
  // The protocol has no field for it.
  (*memory->mutable_stats())["oom_kill"] = FlatValue(events, "oom_kill");
  agent::MemoryData* usage = memory->mutable_usage();
  usage->set_usage(reader.Number("memory.current"));
  usage->set_max_usage(reader.Number("memory.peak"));
  usage->set_limit(reader.Number("memory.max", kNoLimit));
  usage->set_failcnt(FlatValue(events, "max"));

  // Version 1 counts memory and swap together.
  agent::MemoryData* swap = memory->mutable_swap_usage();
  swap->set_usage(usage->usage() + reader.Number("memory.swap.current"));
  const uint64_t swap_limit = reader.Number("memory.swap.max", kNoLimit);
  swap->set_limit(swap_limit == kNoLimit || usage->limit() == kNoLimit
                      ? kNoLimit
                      : usage->limit() + swap_limit);
  swap->set_failcnt(FlatValue(reader.Text("memory.swap.events"), "fail"));

  memory->mutable_kernel_usage()->set_usage(FlatValue(text, "kernel"));
  memory->mutable_kernel_usage()->set_limit(kNoLimit);
}

void ReadPids(const Reader& reader, agent::PidsStats* pids) {
  pids->set_current(reader.Number("pids.current"));
  const uint64_t limit = reader.Number("pids.max");
  pids->set_limit(limit == kNoLimit ? 0 : limit);
}

// Lines of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
void ReadIo(const Reader& reader, agent::BlkioStats* io) {
  struct Key {
    std::string_view key;
    std::string_view operation;
    bool bytes;
  };
  static constexpr Key kKeys[] = {
      {"rbytes", "Read", true}, {"wbytes", "Write", true}, {"dbytes", "Discard", true},
      {"rios", "Read", false},  {"wios", "Write", false},  {"dios", "Discard", false},
  };
  const std::string text = reader.Text("io.stat");
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = Take(rest, '\n');
    std::string_view device = TakeWord(line);
    const uint64_t major_number = NumberOr(Take(device, ':'), 0);
    const uint64_t minor_number = NumberOr(device, 0);
    while (!line.empty()) {
      std::string_view value = TakeWord(line);
      const std::string_view key = Take(value, '=');
      for (const Key& known : kKeys) {
        if (known.key != key) continue;
        agent::BlkioStatsEntry* entry =
            known.bytes ? io->add_io_service_bytes_recursive() : io->add_io_serviced_recursive();
        entry->set_major(major_number);
        entry->set_minor(minor_number);
        entry->set_op(std::string(known.operation));
        entry->set_value(NumberOr(value, 0));
      }
    }
  }
}

void ReadHugePages(const std::string& cgroup, const Reader& reader, agent::CgroupStats* stats) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(cgroup.c_str()), ::closedir);
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (!name.starts_with("hugetlb.") || !name.ends_with(".current")) continue;
    if (name.find(".rsvd.") != std::string_view::npos) continue;
    name.remove_prefix(std::string_view("hugetlb.").size());
    const std::string size(Take(name, '.'));
    agent::HugetlbStats& pages = (*stats->mutable_hugetlb_stats())[size];
    pages.set_usage(reader.Number(fmt::format("hugetlb.{}.current", size)));
    pages.set_failcnt(FlatValue(reader.Text(fmt::format("hugetlb.{}.events", size)), "max"));
  }
}

}  // namespace

uint64_t FlatValue(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    if (TakeWord(line) == key) return NumberOr(line, 0);
  }
  return 0;
}

Result<agent::CgroupStats> ReadCgroupStats(const std::string& cgroup) {
  if (!sys::Exists(cgroup)) return Fail(Code::kNotFound, fmt::format("no cgroup \"{}\"", cgroup));
  const Reader reader(cgroup);
  agent::CgroupStats stats;
  ReadCpu(reader, stats.mutable_cpu_stats());
  ReadMemory(reader, stats.mutable_memory_stats());
  ReadPids(reader, stats.mutable_pids_stats());
  ReadIo(reader, stats.mutable_blkio_stats());
  ReadHugePages(cgroup, reader, &stats);
  return stats;
}

void ParseNetDev(std::string_view text, agent::StatsContainerResponse* stats) {
  while (!text.empty()) {
    std::string_view line = Take(text, '\n');
    if (line.find(':') == std::string_view::npos) continue;
    std::string_view name = Take(line, ':');
    name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
    if (name.empty() || name == "lo") continue;
    // Received: bytes packets errs drop fifo frame compressed multicast; then the same for sent.
    uint64_t columns[16] = {};
    for (uint64_t& column : columns) column = NumberOr(TakeWord(line), 0);
    agent::NetworkStats* network = stats->add_network_stats();
    network->set_name(std::string(name));
    network->set_rx_bytes(columns[0]);
    network->set_rx_packets(columns[1]);
    network->set_rx_errors(columns[2]);
    network->set_rx_dropped(columns[3]);
    network->set_tx_bytes(columns[8]);
    network->set_tx_packets(columns[9]);
    network->set_tx_errors(columns[10]);
    network->set_tx_dropped(columns[11]);
  }
}

}  // namespace kata::guest
