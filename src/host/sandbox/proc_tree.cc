// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/proc_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

constexpr size_t kMaxProcesses = 4096;
// Numbers of nodes: those of a process follow from its id.
constexpr uint64_t kStat = 2;
constexpr uint64_t kFirst = 1024;
constexpr uint64_t kEach = 8;

std::optional<uint32_t> ToNumber(std::string_view text) {
  uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// The value of a line "Key:\tvalue" of /proc/<pid>/status.
std::string_view StatusValue(std::string_view status, std::string_view key) {
  for (size_t begin = 0; begin < status.size();) {
    const size_t end = std::min(status.find('\n', begin), status.size());
    const std::string_view line = status.substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with(key) && line.substr(key.size()).starts_with(":\t")) {
      return line.substr(key.size() + 2);
    }
  }
  return {};
}

// As its innermost pid namespace numbers the process, which is the container's.
std::optional<uint32_t> InnerPid(std::string_view status) {
  const std::string_view all = StatusValue(status, "NSpid");
  return ToNumber(all.substr(all.rfind('\t') + 1));
}

// "<pid> (<name>) <state> <parent> ...", with other numbers.
std::optional<std::string> Renumber(std::string_view stat, uint32_t pid, uint32_t parent) {
  const size_t open = stat.find(" (");
  const size_t close = stat.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      close + 5 > stat.size()) {
    return std::nullopt;
  }
  const std::string_view name = stat.substr(open, close + 2 - open);
  const char state = stat[close + 2];
  const size_t rest = stat.find(' ', close + 4);
  if (rest == std::string_view::npos) return std::nullopt;
  return fmt::format("{}{}{} {}{}", pid, name, state, parent, stat.substr(rest));
}

std::string RenumberStatus(std::string_view status, uint32_t pid, uint32_t parent) {
  std::string result;
  for (size_t begin = 0; begin < status.size();) {
    const size_t end = std::min(status.find('\n', begin), status.size());
    const std::string_view line = status.substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with("Tgid:") || line.starts_with("Pid:")) {
      result += fmt::format("{}:\t{}\n", line.substr(0, line.find(':')), pid);
    } else if (line.starts_with("PPid:")) {
      result += fmt::format("PPid:\t{}\n", parent);
    } else {
      result += fmt::format("{}\n", line);
    }
  }
  return result;
}

// When the guest's machine was booted, in seconds since 1970: /proc/stat's "btime".
uint64_t BootTime(const guest::GuestProcess& process) {
  std::string_view rest = process.stat_file();
  rest.remove_prefix(std::min(rest.rfind(')') + 1, rest.size()));
  constexpr int kWordOfStart = 22 - 3;
  for (int word = 0; word <= kWordOfStart; ++word) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (word < kWordOfStart) rest.remove_prefix(std::min(rest.find(' '), rest.size()));
  }
  uint64_t ticks = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  const auto a_second = static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  const uint64_t since_boot = ticks / a_second;
  return process.started() > since_boot ? process.started() - since_boot : 0;
}

void AddProcess(sys::FuseTree& tree, const guest::GuestProcess& process, uint32_t pid,
                uint32_t parent) {
  const auto stat = Renumber(process.stat_file(), pid, parent);
  if (!stat) return;
  const uint64_t node = kFirst + pid * kEach;
  tree.nodes[sys::FuseTree::kRoot].entries[std::to_string(pid)] = node;
  tree.nodes[node] = {
      .type = S_IFDIR,
      .content = {},
      .entries = {
          {"stat", node + 1}, {"status", node + 2}, {"cmdline", node + 3}, {"ns", node + 4}}};
  tree.nodes[node + 1] = {.type = S_IFREG, .content = *stat, .entries = {}};
  tree.nodes[node + 2] = {.type = S_IFREG,
                          .content = RenumberStatus(process.status_file(), pid, parent),
                          .entries = {}};
  tree.nodes[node + 3] = {.type = S_IFREG, .content = process.command_file(), .entries = {}};
  tree.nodes[node + 4] = {
      .type = S_IFDIR, .content = {}, .entries = {{"pid", node + 5}, {"user", node + 6}}};
  tree.nodes[node + 5] = {.type = S_IFLNK, .content = "pid:[guest]", .entries = {}};
  tree.nodes[node + 6] = {.type = S_IFLNK, .content = "user:[guest]", .entries = {}};
}

}  // namespace

std::shared_ptr<sys::FuseTree> MakeProcTree(const std::vector<guest::GuestProcess>& processes) {
  auto tree = std::make_shared<sys::FuseTree>();
  tree->nodes[sys::FuseTree::kRoot] = {
      .type = S_IFDIR, .content = {}, .entries = {{"stat", kStat}}};
  std::map<uint32_t, uint32_t> inner;
  uint64_t booted = 0;
  for (const guest::GuestProcess& process : processes) {
    if (inner.size() == kMaxProcesses) break;
    const auto pid = InnerPid(process.status_file());
    if (!pid || *pid == 0) continue;
    inner[process.pid()] = *pid;
    if (booted == 0) booted = BootTime(process);
  }
  for (const guest::GuestProcess& process : processes) {
    const auto pid = inner.find(process.pid());
    if (pid == inner.end()) continue;
    // The parent of a container's first process, and of an exec, is outside.
    const auto parent = inner.find(process.parent());
    AddProcess(*tree, process, pid->second, parent == inner.end() ? 0 : parent->second);
  }
  tree->nodes[kStat] = {
      .type = S_IFREG, .content = fmt::format("btime {}\n", booted), .entries = {}};
  return tree;
}

}  // namespace kata::sandbox
