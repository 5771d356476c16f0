// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/init.h - the duties of the guest's first process before it can serve.
//
// Basis: kernel Documentation/admin-guide/initrd.rst (what rdinit finds), filesystem-hierarchy(7).
#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace kata::guest {

// Makes the root fit for containers' pivot_root, mounts the file systems that a Linux userland
// expects and makes the usual links in /dev.
// Stops at the first that the agent cannot do without; returns the errors of the others as text.
Result<std::string> MountBasics();

// Makes descriptor 0 /dev/null and 1 and 2 the console, which is then never waited for; without a
// console they are /dev/null too. Needs MountBasics, and comes before anything that keeps a file
// open, because the kernel may have left the three closed.
void OpenStandardStreams();

// Enables every controller of the cgroup at `root` for the cgroups below it.
Result<void> DelegateControllers(const std::string& root);

// Sysctls, resource limits, host name, loopback. None of them is worth not booting for: returns
// what failed as text, empty when all went well.
std::string ApplyDefaults();

// Brings the loopback interface of the caller's network namespace up.
Result<void> RaiseLoopback();

// Writes back what is cached and powers the machine off. Returns only if the kernel refuses.
void PowerOff();

}  // namespace kata::guest
