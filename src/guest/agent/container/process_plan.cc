// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/process_plan.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "sys/root_dir.h"

namespace kata::guest {
namespace {

struct LimitName {
  std::string_view name;
  int resource;
};

constexpr LimitName kLimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

std::unexpected<Error> Refuse(std::string why) {
  return Fail(Code::kInvalidArgument, fmt::format("process: {}", why));
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

Result<std::vector<std::string>> PlanEnv(const oci::Process& process) {
  std::vector<std::string> env;
  for (const std::string& entry : process.env()) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0 || HasNul(entry)) {
      return Refuse(fmt::format("invalid environment variable \"{}\"", entry));
    }
    const std::string_view prefix = std::string_view(entry).substr(0, equals + 1);
    std::erase_if(env, [&](const std::string& other) { return other.starts_with(prefix); });
    env.push_back(entry);
  }
  return env;
}

Result<std::vector<PlannedLimit>> PlanLimits(const oci::Process& process) {
  std::vector<PlannedLimit> limits;
  for (const oci::POSIXRlimit& limit : process.rlimits()) {
    const int resource = KATA_TRY(ParseLimitName(limit.type()));
    for (const PlannedLimit& other : limits) {
      if (other.resource == resource) return Refuse(fmt::format("{} given twice", limit.type()));
    }
    if (limit.soft() > limit.hard()) {
      return Refuse(fmt::format("{}: soft limit {} above hard limit {}", limit.type(), limit.soft(),
                                limit.hard()));
    }
    limits.push_back({resource, {.rlim_cur = limit.soft(), .rlim_max = limit.hard()}});
  }
  return limits;
}

Result<sys::CapabilitySets> PlanCapabilities(const oci::LinuxCapabilities& given) {
  sys::CapabilitySets sets;
  sets.bounding = KATA_TRY(sys::ParseCapabilities(given.bounding()));
  sets.effective = KATA_TRY(sys::ParseCapabilities(given.effective()));
  sets.permitted = KATA_TRY(sys::ParseCapabilities(given.permitted()));
  sets.inheritable = KATA_TRY(sys::ParseCapabilities(given.inheritable()));
  sets.ambient = KATA_TRY(sys::ParseCapabilities(given.ambient()));
  return sets;
}

}  // namespace

Result<int> ParseLimitName(const std::string& name) {
  for (const LimitName& entry : kLimits) {
    if (entry.name == name) return entry.resource;
  }
  return Refuse(fmt::format("unknown resource limit \"{}\"", name));
}

const char* FindEnv(const std::vector<std::string>& env, std::string_view name) {
  for (const std::string& entry : env) {
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.c_str() + name.size() + 1;
    }
  }
  return nullptr;
}

Result<ProcessPlan> PlanProcess(const oci::Process& process, const sys::CapabilitySets& inherited) {
  ProcessPlan plan;
  plan.args.assign(process.args().begin(), process.args().end());
  if (plan.args.empty()) return Refuse("args must not be empty");
  if (std::ranges::any_of(plan.args, HasNul)) return Refuse("an argument has a NUL character");
  plan.env = KATA_TRY(PlanEnv(process));
  if (!process.cwd().starts_with('/') || HasNul(process.cwd())) {
    return Refuse(fmt::format("cwd \"{}\" is not an absolute path", process.cwd()));
  }
  plan.cwd = sys::CleanPath(process.cwd());
  plan.uid = process.user().uid();
  plan.gid = process.user().gid();
  plan.groups.assign(process.user().additional_gids().begin(),
                     process.user().additional_gids().end());
  if (process.user().has_umask()) plan.umask = process.user().umask() & 0777;
  plan.capabilities =
      process.has_capabilities() ? KATA_TRY(PlanCapabilities(process.capabilities())) : inherited;
  plan.limits = KATA_TRY(PlanLimits(process));
  plan.no_new_privileges = process.no_new_privileges();
  if (process.oom_score_adj() < -1000 || process.oom_score_adj() > 1000) {
    return Refuse(fmt::format("oomScoreAdj {} is not within -1000..1000", process.oom_score_adj()));
  }
  plan.oom_score_adj = static_cast<int>(process.oom_score_adj());
  plan.scheduling = KATA_TRY(PlanScheduling(process));
  plan.terminal = process.terminal();
  constexpr uint32_t kMaxSize = std::numeric_limits<uint16_t>::max();
  plan.terminal_mode.rows =
      static_cast<uint16_t>(std::min(process.console_size().height(), kMaxSize));
  plan.terminal_mode.columns =
      static_cast<uint16_t>(std::min(process.console_size().width(), kMaxSize));
  plan.terminal_mode.bare_line_feeds = process.bare_line_feeds();
  return plan;
}

}  // namespace kata::guest
