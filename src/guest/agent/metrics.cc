// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "metrics/builder.h"
#include "metrics/process_figures.h"
#include "metrics/text.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxFile = 1 << 20;

using metrics::Builder;

std::vector<std::string_view> Split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t start = text.find_first_not_of(separators);
    if (start == std::string_view::npos) return parts;
    text.remove_prefix(start);
    parts.push_back(text.substr(0, text.find_first_of(separators)));
    text.remove_prefix(parts.back().size());
  }
}

std::optional<double> ToNumber(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A file below /proc, empty where there is none.
std::string Read(const std::string& proc, std::string_view name) {
  return sys::ReadFile(fmt::format("{}/{}", proc, name), kMaxFile).value_or("");
}

// Adds the words from `first` on as the items of these names; what is no number is left out.
template <size_t N>
void AddItems(Builder& builder, std::string_view name, std::string_view label,
              std::string_view value, const std::array<const char*, N>& items,
              const std::vector<std::string_view>& words, size_t first) {
  for (size_t i = 0; i < N && i + first < words.size(); ++i) {
    const auto number = ToNumber(words[i + first]);
    if (number) builder.Add(name, {{label, value}, {"item", items[i]}}, *number);
  }
}

// Names of /proc/meminfo that SnakeCase() would split elsewhere than Kata Containers does.
constexpr std::pair<std::string_view, std::string_view> kMemoryNames[] = {
    {"AnonHugePages", "anon_hugepages"},
    {"DirectMap1G", "direct_map_1G"},
    {"DirectMap2M", "direct_map_2M"},
    {"DirectMap4M", "direct_map_4M"},
    {"DirectMap4k", "direct_map_4k"},
    {"HugePages_Free", "hugepages_free"},
    {"HugePages_Rsvd", "hugepages_rsvd"},
    {"HugePages_Surp", "hugepages_surp"},
    {"HugePages_Total", "hugepages_total"},
    {"KReclaimable", "k_reclaimable"},
    {"Percpu", "per_cpu"},
    {"SReclaimable", "s_reclaimable"},
    {"SUnreclaim", "s_unreclaim"},
    {"ShmemHugePages", "shmem_hugepages"},
};

// "MemTotal" and "Active(anon)" become "mem_total" and "active_anon".
std::string SnakeCase(std::string_view name) {
  std::string snake;
  bool after_lower = false;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool other = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!upper && !other) {
      if (!snake.empty() && snake.back() != '_') snake += '_';
      after_lower = false;
      continue;
    }
    if (upper && after_lower) snake += '_';
    snake += upper ? static_cast<char>(c - 'A' + 'a') : c;
    after_lower = other;
  }
  while (!snake.empty() && snake.back() == '_') snake.pop_back();
  return snake;
}

std::string MemoryName(std::string_view name) {
  const auto known =
      std::ranges::find(kMemoryNames, name, [](const auto& pair) { return pair.first; });
  return known != std::end(kMemoryNames) ? std::string(known->second) : SnakeCase(name);
}

void AddLoad(Builder& builder, const std::string& proc) {
  const std::string content = Read(proc, "loadavg");
  const auto parts = Split(content, " \n");
  if (parts.size() < 4) return;
  constexpr std::array kItems = {"load1", "load5", "load15"};
  for (size_t i = 0; i < kItems.size(); ++i) {
    const auto value = ToNumber(parts[i]);
    if (value) builder.Add("kata_guest_load", {{"item", kItems[i]}}, *value);
  }
  const auto tasks = Split(parts[3], "/");
  if (tasks.size() != 2) return;
  builder.Add("kata_guest_tasks", {{"item", "cur"}}, ToNumber(tasks[0]).value_or(0));
  builder.Add("kata_guest_tasks", {{"item", "max"}}, ToNumber(tasks[1]).value_or(0));
}

void AddMemory(Builder& builder, const std::string& proc) {
  const std::string content = Read(proc, "meminfo");
  for (const std::string_view line : Split(content, "\n")) {
    const auto parts = Split(line, ": ");
    if (parts.size() < 2) continue;
    const auto value = ToNumber(parts[1]);
    if (!value) continue;
    const bool kib = parts.size() > 2 && parts[2] == "kB";
    builder.Add("kata_guest_meminfo", {{"item", MemoryName(parts[0])}},
                kib ? *value * 1024 : *value);
  }
}

void AddMemoryEvents(Builder& builder, const std::string& proc) {
  const std::string content = Read(proc, "vmstat");
  for (const std::string_view line : Split(content, "\n")) {
    const auto parts = Split(line, " ");
    if (parts.size() != 2) continue;
    const auto value = ToNumber(parts[1]);
    // Some two hundred, of which most never happen.
    if (value && *value != 0) builder.Add("kata_guest_vm_stat", {{"item", parts[0]}}, *value);
  }
}

void AddCpus(Builder& builder, const std::string& proc) {
  constexpr std::array kItems = {"user", "nice",    "system", "idle",  "iowait",
                                 "irq",  "softirq", "steal",  "guest", "guest_nice"};
  const std::string content = Read(proc, "stat");
  for (const std::string_view line : Split(content, "\n")) {
    if (!line.starts_with("cpu")) continue;
    const auto parts = Split(line, " ");
    const std::string_view cpu = parts[0] == "cpu" ? "total" : parts[0].substr(3);
    AddItems(builder, "kata_guest_cpu_time", "cpu", cpu, kItems, parts, 1);
  }
}

void AddDisks(Builder& builder, const std::string& proc) {
  constexpr std::array kItems = {"reads",
                                 "merged",
                                 "sectors_read",
                                 "time_reading",
                                 "writes",
                                 "writes_merged",
                                 "sectors_written",
                                 "time_writing",
                                 "in_progress",
                                 "time_in_progress",
                                 "weighted_time_in_progress",
                                 "discards",
                                 "discards_merged",
                                 "sectors_discarded",
                                 "time_discarding",
                                 "flushes",
                                 "time_flushing"};
  constexpr size_t kName = 2;
  const std::string content = Read(proc, "diskstats");
  for (const std::string_view line : Split(content, "\n")) {
    const auto words = Split(line, " ");
    if (words.size() <= kName) continue;
    // Of the many loop devices most are never used.
    if (std::all_of(words.begin() + kName + 1, words.end(),
                    [](std::string_view word) { return word == "0"; })) {
      continue;
    }
    AddItems(builder, "kata_guest_diskstat", "disk", words[kName], kItems, words, kName + 1);
  }
}

void AddNetwork(Builder& builder, const std::string& proc) {
  constexpr std::array kItems = {
      "recv_bytes", "recv_packets", "recv_errs",       "recv_drop",
      "recv_fifo",  "recv_frame",   "recv_compressed", "recv_multicast",
      "sent_bytes", "sent_packets", "sent_errs",       "sent_drop",
      "sent_fifo",  "sent_colls",   "sent_carrier",    "sent_compressed"};
  const std::string content = Read(proc, "net/dev");
  for (const std::string_view line : Split(content, "\n")) {
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    const auto name = Split(line.substr(0, colon), " ");
    const auto values = Split(line.substr(colon + 1), " ");
    if (name.size() != 1) continue;
    AddItems(builder, "kata_guest_netdev_stat", "interface", name[0], kItems, values, 0);
  }
}

void AddAgent(Builder& builder, const std::string& proc, const AgentCounts& counts) {
  const metrics::ProcessFigures self = metrics::ReadProcess(proc + "/self");
  metrics::AddProcess(builder, "kata_agent", self, false);
  metrics::AddCommonFigures(builder, "kata_agent", self, Read(proc, "stat"));
  double ticks = 0;
  for (const auto& [item, value] : self.stat) ticks += value;
  builder.Add("kata_agent_total_time", {}, ticks);
  builder.Add("kata_agent_total_vm", {}, self.Status("vmsize"));
  builder.Add("kata_agent_total_rss", {}, self.Status("vmrss"));
  builder.Add("kata_agent_scrape_count", {}, static_cast<double>(counts.scrapes));
  builder.Add("kata_agent_containers", {}, static_cast<double>(counts.containers));
  builder.Add("kata_agent_processes", {}, static_cast<double>(counts.processes));
}

}  // namespace

std::string FormatMetrics(const std::string& proc, const AgentCounts& counts) {
  Builder builder;
  AddLoad(builder, proc);
  AddMemory(builder, proc);
  AddMemoryEvents(builder, proc);
  AddCpus(builder, proc);
  AddDisks(builder, proc);
  AddNetwork(builder, proc);
  AddAgent(builder, proc, counts);
  return metrics::FormatText(builder.Take());
}

}  // namespace kata::guest
