// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/shared_sources.h - directories that the host shares, as a virtiofs shows
// its mounts.
//
// Each is an automount point: whoever looks into it first gets a file system there, in his own
// mount namespace alone. Containers that looked on their own would each have another one, and
// locks, unix sockets and fifos would not meet. So they are entered in the agent's namespace,
// before a container has its own.
//
// All of this blocks as long as the host does.
// Basis: Linux Documentation/filesystems/virtiofs.rst; fs/fuse's submounts.
#pragma once

#include <string>
#include <vector>

#include "guest/agent/container/mount_plan.h"

namespace kata::guest {

// Enters what `mounts` bind, in the calling process's mount namespace. What cannot be entered is
// left to the mount that needs it, which says why.
void EnterSources(const std::vector<PlannedMount>& mounts);

// Lets go of paths at which the host shows something else than before, or nothing, also for the
// containers. Unless it is asked for them again, the kernel keeps what it knows of them, and the
// host's file systems with it. What is not there is fine.
void ForgetPaths(const std::vector<std::string>& paths);

}  // namespace kata::guest
