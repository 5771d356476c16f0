// SPDX-License-Identifier: Apache-2.0
#include "metrics/process_figures.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::metrics {
namespace {

constexpr size_t kMostOfFile = 1 << 20;
constexpr double kKib = 1024;

// Those of /proc/PID/status that say nothing of memory.
constexpr std::array<std::string_view, 2> kOtherItems = {"voluntary_ctxt_switches",
                                                         "nonvoluntary_ctxt_switches"};

std::optional<double> ToNumber(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return static_cast<double>(value);
}

template <class Work>
void ForEachLine(std::string_view text, Work work) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    work(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

void ReadStatus(std::string_view text, ProcessFigures* figures) {
  ForEachLine(text, [figures](std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string item = Lower(line.substr(0, colon));
    const auto value = ToNumber(line.substr(colon + 1));
    if (!value) return;
    if (item == "threads") figures->threads = *value;
    if (line.ends_with(" kB")) figures->status[item] = *value * kKib;
    if (std::ranges::find(kOtherItems, item) != kOtherItems.end()) figures->status[item] = *value;
  });
}

void ReadStat(std::string_view text, ProcessFigures* figures) {
  // The name in parentheses may hold anything.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return;
  text.remove_prefix(name_end + 1);
  constexpr int kFirst = 3;  // the number of the field that is next, as the manual counts
  int field = kFirst - 1;
  while (!text.empty()) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    const size_t end = std::min(text.find(' '), text.size());
    const auto value = ToNumber(text.substr(0, end));
    text.remove_prefix(end);
    ++field;
    if (!value) continue;
    if (field == 14) figures->stat["utime"] = *value;
    if (field == 15) figures->stat["stime"] = *value;
    if (field == 16) figures->stat["cutime"] = *value;
    if (field == 17) figures->stat["cstime"] = *value;
    if (field == 22) figures->start_ticks = *value;
  }
}

void AddTo(std::map<std::string, double>* sum, const std::map<std::string, double>& more) {
  for (const auto& [item, value] : more) (*sum)[item] += value;
}

double BootTime(std::string_view stat) {
  double time = 0;
  ForEachLine(stat, [&time](std::string_view line) {
    constexpr std::string_view kKey = "btime ";
    if (line.starts_with(kKey)) time = ToNumber(line.substr(kKey.size())).value_or(0);
  });
  return time;
}

}  // namespace

double ProcessFigures::cpu_ticks() const {
  double ticks = 0;
  for (const char* item : {"utime", "stime"}) {
    if (const auto found = stat.find(item); found != stat.end()) ticks += found->second;
  }
  return ticks;
}

ProcessFigures ReadProcess(const std::string& directory) {
  const auto read = [&](std::string_view name) {
    return sys::ReadFile(fmt::format("{}/{}", directory, name), kMostOfFile).value_or("");
  };
  ProcessFigures figures;
  ReadStatus(read("status"), &figures);
  ReadStat(read("stat"), &figures);
  ForEachLine(read("io"), [&](std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    if (const auto value = ToNumber(line.substr(colon + 1))) {
      figures.io[std::string(line.substr(0, colon))] = *value;
    }
  });
  figures.fds = static_cast<double>(sys::ListDirectory(directory + "/fd").size());
  ForEachLine(read("limits"), [&](std::string_view line) {
    constexpr std::string_view kKey = "Max open files";
    if (line.starts_with(kKey)) figures.max_fds = ToNumber(line.substr(kKey.size())).value_or(0);
  });
  return figures;
}

ProcessFigures Sum(const std::vector<ProcessFigures>& all) {
  ProcessFigures sum;
  for (const ProcessFigures& one : all) {
    sum.threads += one.threads;
    sum.fds += one.fds;
    sum.max_fds += one.max_fds;
    AddTo(&sum.stat, one.stat);
    AddTo(&sum.status, one.status);
    AddTo(&sum.io, one.io);
    if (sum.start_ticks == 0 || one.start_ticks < sum.start_ticks) {
      sum.start_ticks = one.start_ticks;
    }
  }
  return sum;
}

void AddProcess(Builder& builder, std::string_view prefix, const ProcessFigures& figures,
                bool fds) {
  const auto name = [&](std::string_view rest) { return fmt::format("{}_{}", prefix, rest); };
  builder.Add(name("threads"), {}, figures.threads);
  if (fds) builder.Add(name("fds"), {}, figures.fds);
  for (const auto& [item, value] : figures.stat) {
    builder.Add(name("proc_stat"), {{"item", item}}, value);
  }
  for (const auto& [item, value] : figures.status) {
    builder.Add(name("proc_status"), {{"item", item}}, value);
  }
  for (const auto& [item, value] : figures.io) {
    builder.Add(name("io_stat"), {{"item", item}}, value);
  }
}

void AddCommonFigures(Builder& builder, std::string_view prefix, const ProcessFigures& figures,
                      std::string_view stat) {
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto add = [&](std::string_view rest, double value) {
    builder.Add(fmt::format("{}_process_{}", prefix, rest), {}, value);
  };
  add("cpu_seconds_total", figures.cpu_ticks() / ticks);
  add("open_fds", figures.fds);
  add("max_fds", figures.max_fds);
  add("resident_memory_bytes", figures.Status("vmrss"));
  add("virtual_memory_bytes", figures.Status("vmsize"));
  add("start_time_seconds", BootTime(stat) + figures.start_ticks / ticks);
}

}  // namespace kata::metrics
