// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/proc_tree.h - the processes of a container as a /proc of their own.
//
// Programs of the host that enter the mount namespace of a container's process read its /proc to
// tell what runs (`podman top`). The guest's processes are not the host's, so what they find there
// is made from what the guest's agent tells: a directory a process with `stat`, `status`, `cmdline`
// and `ns`, with the process ids that the container itself sees.
// Basis: proc(5).
#pragma once

#include <memory>
#include <vector>

#include "proto/guest.pb.h"
#include "sys/fuse_tree.h"

namespace kata::sandbox {

// Processes without their files of /proc, as of an agent that does not tell, are left out. All of
// it is the guest's word: nothing is parsed further than to replace process ids.
std::shared_ptr<sys::FuseTree> MakeProcTree(const std::vector<guest::GuestProcess>& processes);

}  // namespace kata::sandbox
