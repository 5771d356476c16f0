// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/child.h - what the forked children do.
//
// The agent has one thread, so the children may use all of C++. They end in execve or _exit and
// never return to the agent's loop.
// Basis: OCI runtime-spec runtime.md "Lifecycle".
#pragma once

#include <string>
#include <vector>

#include "guest/agent/container/container.h"
#include "guest/agent/container/mount_plan.h"
#include "guest/agent/container/process_plan.h"
#include "guest/agent/container/process_setup.h"

namespace kata::guest {

struct InitContext {
  const ContainerSpec& spec;
  ProcessPlan process;
  std::vector<PlannedMount> mounts;
  ProcessStdio stdio;
  int report;
  int start;
  std::string cgroup;  // the container's
  Confinement confinement = {};
};

// The first process: namespaces, root, mounts, devices, itself; then it waits for its start.
[[noreturn]] void RunInitChild(InitContext context);

struct ExecContext {
  int init_pidfd;
  ProcessPlan process;
  ProcessStdio stdio;
  int report;
  Confinement confinement = {};
  bool time_namespace = false;  // the container has one of its own
};

// A later process: the same namespaces and root, itself.
[[noreturn]] void RunExecChild(ExecContext context);

}  // namespace kata::guest
