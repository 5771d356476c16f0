// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/process_setup.h - the child's own properties, up to its execve.
//
// Every function runs in the forked child, in the order in which they stand here.
// Basis: OCI runtime-spec config.md "Process", runtime.md "Lifecycle".
#pragma once

#include <string>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/container/process_plan.h"

namespace kata::guest {

// Default dispositions and an empty mask, whatever the agent uses.
void ResetSignals();

// Makes `stdio` descriptors 0, 1 and 2 (/dev/null where invalid) and closes everything else but
// `report` and `start`, so that nothing of the agent's can be reached through /proc/self/fd.
Result<void> ArrangeDescriptors(const ProcessStdio& stdio, int report, int start);

// Inside the container: descriptors 0..2 that are the guest's /dev/null become the container's.
void ReopenNull();

// While the agent's /proc can be seen.
Result<void> ApplyBeforeRoot(const ProcessPlan& plan);

// Inside the container's root: working directory, limits, user, groups, capabilities,
// umask.
Result<void> ApplyInsideRoot(const ProcessPlan& plan);

// Adds HOME where it is missing and finds the executable. As the container's user.
Result<std::string> PrepareExec(ProcessPlan* plan);

// Returns only on failure.
Error Execute(const std::string& path, const ProcessPlan& plan);

}  // namespace kata::guest
