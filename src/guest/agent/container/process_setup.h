// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/process_setup.h - the child's own properties, up to its execve.
//
// Every function runs in the forked child, in the order in which they stand here.
//
// A system call filter is loaded by ApplyInsideRoot while the capability for it is there, or, with
// no_new_privs, by ApplyLast, so that it need not allow what a process does to itself before.
// Basis: OCI runtime-spec config.md "Process", runtime.md "Lifecycle".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/container/process_plan.h"
#include "guest/agent/container/seccomp.h"
#include "guest/agent/container/user_namespace.h"

namespace kata::guest {

// What the container has for each of its processes.
struct Confinement {
  UserNamespace user;
  bool own_views = false;  // see EnterUserNamespace
  std::optional<SeccompFilter> seccomp;
  std::optional<unsigned long> personality;  // as personality(2) takes it
};

// Default dispositions and an empty mask, whatever the agent uses.
void ResetSignals();

// Makes `stdio` descriptors 0, 1 and 2 (/dev/null where invalid) and closes everything else but
// `keep` (-1 for none), so that nothing of the agent's can be reached through /proc/self/fd.
Result<void> ArrangeDescriptors(const ProcessStdio& stdio, std::vector<int> keep);

// Inside the container: descriptors 0..2 that are the guest's /dev/null become the container's.
void ReopenNull();

// While the agent's /proc can be seen.
Result<void> ApplyBeforeRoot(const ProcessPlan& plan);

// Inside the container's root: working directory, limits, personality, user namespace, user,
// groups, capabilities, umask. Closes the user namespace's descriptor.
Result<void> ApplyInsideRoot(const ProcessPlan& plan, Confinement* confinement);

// Adds HOME where it is missing and finds the executable. As the container's user.
Result<std::string> PrepareExec(ProcessPlan* plan);

// The filter of a process that gains no privileges, if the container has one.
Result<void> ApplyLast(const ProcessPlan& plan, const Confinement& confinement);

// Returns only on failure.
Error Execute(const std::string& path, const ProcessPlan& plan);

}  // namespace kata::guest
