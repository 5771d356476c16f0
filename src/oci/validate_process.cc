// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "oci/refuse.h"
#include "oci/validate.h"
#include "sys/caps.h"

namespace kata::oci {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kRlimits = {
    "RLIMIT_AS"sv,     "RLIMIT_CORE"sv,   "RLIMIT_CPU"sv,        "RLIMIT_DATA"sv,
    "RLIMIT_FSIZE"sv,  "RLIMIT_LOCKS"sv,  "RLIMIT_MEMLOCK"sv,    "RLIMIT_MSGQUEUE"sv,
    "RLIMIT_NICE"sv,   "RLIMIT_NOFILE"sv, "RLIMIT_NPROC"sv,      "RLIMIT_RSS"sv,
    "RLIMIT_RTPRIO"sv, "RLIMIT_RTTIME"sv, "RLIMIT_SIGPENDING"sv, "RLIMIT_STACK"sv,
};
constexpr std::array kPolicies = {"SCHED_OTHER"sv,   "SCHED_FIFO"sv, "SCHED_RR"sv,
                                  "SCHED_BATCH"sv,   "SCHED_ISO"sv,  "SCHED_IDLE"sv,
                                  "SCHED_DEADLINE"sv};
constexpr std::array kSchedulerFlags = {
    "SCHED_FLAG_RESET_ON_FORK"sv,  "SCHED_FLAG_RECLAIM"sv,     "SCHED_FLAG_DL_OVERRUN"sv,
    "SCHED_FLAG_KEEP_POLICY"sv,    "SCHED_FLAG_KEEP_PARAMS"sv, "SCHED_FLAG_UTIL_CLAMP_MIN"sv,
    "SCHED_FLAG_UTIL_CLAMP_MAX"sv,
};
constexpr std::array kIoClasses = {"IOPRIO_CLASS_RT"sv, "IOPRIO_CLASS_BE"sv, "IOPRIO_CLASS_IDLE"sv};

Result<void> ValidateLimits(const Process& process) {
  std::set<std::string_view> seen;
  for (int i = 0; i < process.rlimits_size(); ++i) {
    const POSIXRlimit& rlimit = process.rlimits(i);
    const std::string where = fmt::format("process.rlimits[{}]", i);
    if (!IsOneOf(rlimit.type(), kRlimits)) {
      return RefuseValue(where + ".type", rlimit.type(), "is not a resource that Linux limits");
    }
    if (!seen.insert(rlimit.type()).second) {
      return RefuseValue(where + ".type", rlimit.type(), "is there twice");
    }
    if (rlimit.soft() > rlimit.hard()) {
      return Refuse(
          where, fmt::format("soft limit {} is above hard limit {}", rlimit.soft(), rlimit.hard()));
    }
  }
  return {};
}

Result<void> ValidateScheduler(const Scheduler& scheduler) {
  if (!IsOneOf(scheduler.policy(), kPolicies)) {
    return RefuseValue("process.scheduler.policy", scheduler.policy(),
                       fmt::format("is none of {}", fmt::join(kPolicies, ", ")));
  }
  for (const std::string& flag : scheduler.flags()) {
    if (!IsOneOf(flag, kSchedulerFlags)) {
      return RefuseValue("process.scheduler.flags", flag, "is not a flag of the specification");
    }
  }
  if (scheduler.nice() < -20 || scheduler.nice() > 19) {
    return Refuse("process.scheduler.nice",
                  fmt::format("{} is outside -20 to 19", scheduler.nice()));
  }
  const bool realtime = scheduler.policy() == "SCHED_FIFO" || scheduler.policy() == "SCHED_RR";
  if (scheduler.priority() != 0 && !realtime) {
    return Refuse("process.scheduler.priority", "is for SCHED_FIFO and SCHED_RR");
  }
  if (realtime && (scheduler.priority() < 1 || scheduler.priority() > 99)) {
    return Refuse("process.scheduler.priority",
                  fmt::format("{} is outside 1 to 99", scheduler.priority()));
  }
  const bool times =
      scheduler.runtime() != 0 || scheduler.deadline() != 0 || scheduler.period() != 0;
  if (times && scheduler.policy() != "SCHED_DEADLINE") {
    return Refuse("process.scheduler.runtime", "is for SCHED_DEADLINE");
  }
  return {};
}

Result<void> ValidateIoPriority(const IoPriority& priority) {
  if (!IsOneOf(priority.class_(), kIoClasses)) {
    return RefuseValue("process.ioPriority.class", priority.class_(),
                       fmt::format("is none of {}", fmt::join(kIoClasses, ", ")));
  }
  if (priority.priority() < 0 || priority.priority() > 7) {
    return Refuse("process.ioPriority.priority",
                  fmt::format("{} is outside 0 to 7", priority.priority()));
  }
  return {};
}

// "/proc/self/fd/7" and the like: a directory that the runtime may have open, outside of the root.
bool LeadsThroughDescriptor(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts.size() > 2 && parts[0] == "proc" && IsOneOf("fd"sv, parts);
}

}  // namespace

Result<void> ValidateCpuList(std::string_view where, std::string_view list) {
  constexpr size_t kMaxList = 4096;
  constexpr unsigned kMaxCpu = 8191;
  const auto refuse = [&] { return RefuseValue(where, list, "is not a list such as 0-2,5"); };
  if (list.size() > kMaxList) return refuse();
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at < end) {
    unsigned first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc() || first > kMaxCpu) return refuse();
    at = parsed.ptr;
    if (at < end && *at == '-') {
      unsigned last = 0;
      parsed = std::from_chars(at + 1, end, last);
      if (parsed.ec != std::errc() || last < first || last > kMaxCpu) return refuse();
      at = parsed.ptr;
    }
    if (at == end) return {};
    if (*at != ',' || ++at == end) return refuse();
  }
  return {};
}

Result<void> ValidateProcess(const Process& process) {
  // An empty name is that of a program which is not found.
  if (process.args().empty()) {
    return Refuse("process.args", "is empty, so there is no command to run");
  }
  KATA_TRY(RequireAbsolute("process.cwd", process.cwd()));
  if (LeadsThroughDescriptor(process.cwd())) {
    return RefuseValue("process.cwd", process.cwd(), "leads through an open file of the runtime");
  }
  for (int i = 0; i < process.env_size(); ++i) {
    const size_t equals = process.env(i).find('=');
    if (equals == std::string::npos || equals == 0) {
      return RefuseValue(fmt::format("process.env[{}]", i), process.env(i),
                         "is not of the form NAME=VALUE");
    }
  }
  KATA_TRY(ValidateLimits(process));
  if (process.oom_score_adj() < -1000 || process.oom_score_adj() > 1000) {
    return Refuse("process.oomScoreAdj",
                  fmt::format("{} is outside -1000 to 1000", process.oom_score_adj()));
  }
  if (process.has_scheduler()) KATA_TRY(ValidateScheduler(process.scheduler()));
  if (process.has_io_priority()) KATA_TRY(ValidateIoPriority(process.io_priority()));
  KATA_TRY(
      ValidateCpuList("process.execCPUAffinity.initial", process.exec_cpu_affinity().initial()));
  return ValidateCpuList("process.execCPUAffinity.final", process.exec_cpu_affinity().final());
}

}  // namespace kata::oci
