// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/metrics.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxFile = 1 << 20;

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

std::optional<uint64_t> ToNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class Writer {
 public:
  explicit Writer(const std::string& proc) : proc_(proc) {}

  void Describe(std::string_view name, std::string_view help) {
    text_ += fmt::format("# HELP {} {}\n# TYPE {} gauge\n", name, help, name);
  }
  template <class Value>
  void Add(std::string_view name, std::string_view labels, const Value& value) {
    text_ += labels.empty() ? fmt::format("{} {}\n", name, value)
                            : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  // A file below /proc, empty where there is none.
  std::string Read(std::string_view name) const {
    return sys::ReadFile(fmt::format("{}/{}", proc_, name), kMaxFile).value_or("");
  }
  const std::string& proc() const { return proc_; }
  std::string Take() { return std::move(text_); }

 private:
  const std::string proc_;
  std::string text_;
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

void AddLoad(Writer& writer) {
  const std::string content = writer.Read("loadavg");
  const auto parts = Split(content, " \n");
  if (parts.size() < 4) return;
  writer.Describe("kata_guest_load", "Load averages of the guest.");
  constexpr std::array kItems = {"load1", "load5", "load15"};
  for (size_t i = 0; i < kItems.size(); ++i) {
    writer.Add("kata_guest_load", fmt::format("item=\"{}\"", kItems[i]), parts[i]);
  }
  const auto tasks = Split(parts[3], "/");
  if (tasks.size() != 2) return;
  writer.Describe("kata_guest_tasks", "Tasks of the guest.");
  writer.Add("kata_guest_tasks", "item=\"running\"", tasks[0]);
  writer.Add("kata_guest_tasks", "item=\"total\"", tasks[1]);
}

void AddMemory(Writer& writer) {
  const std::string content = writer.Read("meminfo");
  if (content.empty()) return;
  writer.Describe("kata_guest_meminfo", "Memory of the guest in bytes.");
  for (const std::string_view line : Split(content, "\n")) {
    const auto parts = Split(line, ": ");
    if (parts.size() < 2) continue;
    const auto value = ToNumber(parts[1]);
    if (!value) continue;
    const bool kib = parts.size() > 2 && parts[2] == "kB";
    writer.Add("kata_guest_meminfo", fmt::format("item=\"{}\"", SnakeCase(parts[0])),
               kib ? *value * 1024 : *value);
  }
}

void AddCpus(Writer& writer) {
  constexpr std::array kItems = {"user", "nice",    "system", "idle",  "iowait",
                                 "irq",  "softirq", "steal",  "guest", "guest_nice"};
  const std::string content = writer.Read("stat");
  if (content.empty()) return;
  writer.Describe("kata_guest_cpu_time", "Processor time of the guest in clock ticks.");
  for (const std::string_view line : Split(content, "\n")) {
    if (!line.starts_with("cpu")) continue;
    const auto parts = Split(line, " ");
    const std::string_view cpu = parts[0] == "cpu" ? "total" : parts[0].substr(3);
    for (size_t i = 0; i < kItems.size() && i + 1 < parts.size(); ++i) {
      writer.Add("kata_guest_cpu_time", fmt::format("cpu=\"{}\",item=\"{}\"", cpu, kItems[i]),
                 parts[i + 1]);
    }
  }
}

void AddNetwork(Writer& writer) {
  constexpr std::array kItems = {
      "recv_bytes", "recv_packets", "recv_errs",       "recv_drop",
      "recv_fifo",  "recv_frame",   "recv_compressed", "recv_multicast",
      "sent_bytes", "sent_packets", "sent_errs",       "sent_drop",
      "sent_fifo",  "sent_colls",   "sent_carrier",    "sent_compressed"};
  const std::string content = writer.Read("net/dev");
  if (content.empty()) return;
  writer.Describe("kata_guest_netdev_stat", "Traffic of the guest's network interfaces.");
  for (const std::string_view line : Split(content, "\n")) {
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    const auto name = Split(line.substr(0, colon), " ");
    const auto values = Split(line.substr(colon + 1), " ");
    if (name.size() != 1 || name[0].find_first_of("\"\\") != std::string_view::npos) continue;
    for (size_t i = 0; i < kItems.size() && i < values.size(); ++i) {
      writer.Add("kata_guest_netdev_stat",
                 fmt::format("interface=\"{}\",item=\"{}\"", name[0], kItems[i]), values[i]);
    }
  }
}

size_t CountEntries(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  size_t count = 0;
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr)
    count += entry->d_name[0] != '.';
  return count;
}

void AddAgent(Writer& writer, size_t containers, size_t processes) {
  const std::string statm = writer.Read("self/statm");
  const auto pages = Split(statm, " ");
  const auto page_size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto gauge = [&](std::string_view name, std::string_view help, uint64_t value) {
    writer.Describe(name, help);
    writer.Add(name, "", value);
  };
  if (pages.size() >= 2) {
    gauge("kata_agent_process_virtual_memory_bytes", "Address space of the agent.",
          ToNumber(pages[0]).value_or(0) * page_size);
    gauge("kata_agent_process_resident_memory_bytes", "Memory of the agent.",
          ToNumber(pages[1]).value_or(0) * page_size);
  }
  gauge("kata_agent_process_open_fds", "Descriptors that the agent has open.",
        CountEntries(writer.proc() + "/self/fd"));
  gauge("kata_agent_containers", "Containers of the guest.", containers);
  gauge("kata_agent_processes", "Processes of containers that the host knows by name.", processes);
}

}  // namespace

std::string FormatMetrics(const std::string& proc, size_t containers, size_t processes) {
  Writer writer(proc);
  AddLoad(writer);
  AddMemory(writer);
  AddCpus(writer);
  AddNetwork(writer);
  AddAgent(writer, containers, processes);
  return writer.Take();
}

}  // namespace kata::guest
