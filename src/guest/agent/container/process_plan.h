// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/process_plan.h - a spec's process, checked and turned into what system
// calls take.
//
// Basis: OCI runtime-spec config.md "Process".
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/scheduling.h"
#include "guest/agent/container/terminal.h"
#include "proto/oci.pb.h"
#include "sys/caps.h"

namespace kata::guest {

struct PlannedLimit {
  int resource;
  rlimit limit;
};

struct ProcessPlan {
  std::vector<std::string> args;  // at least one, the first not empty
  std::vector<std::string> env;   // "NAME=value", each name once: the last one given
  std::string cwd;                // absolute, clean
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  mode_t umask = 0022;
  sys::CapabilitySets capabilities;
  std::vector<PlannedLimit> limits;
  bool no_new_privileges = false;
  int oom_score_adj = 0;
  SchedulingPlan scheduling;
  bool terminal = false;
  TerminalMode terminal_mode;
};

// `inherited` are the capabilities of a process that names none.
// Errors  kInvalidArgument  names what is wrong: no arguments, relative cwd, unknown capability or
//                           limit, environment without "=", ...
Result<ProcessPlan> PlanProcess(const oci::Process& process,
                                const sys::CapabilitySets& inherited = {});

// RLIMIT_* of "RLIMIT_NOFILE" and the like.
Result<int> ParseLimitName(const std::string& name);

// The value of `name` in `env`, or nullptr.
const char* FindEnv(const std::vector<std::string>& env, std::string_view name);

}  // namespace kata::guest
