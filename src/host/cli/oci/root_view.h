// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/root_view.h - what the host shows of a container at the process id that stands for it.
//
// Callers of an OCI runtime enter the mount namespace of a container's process: `podman cp` copies
// there, people use nsenter. The stand-in's namespace is therefore its own, and its root is the
// container's: the root file system and the bind mounts as the host has them. What exists in the
// guest alone (tmpfs, /sys, /dev) is an empty directory there that nothing can be written to, so
// that no caller believes to have written what the container will never see; its /proc is made from
// what the guest tells (host/sandbox/proc_tree.h).
// Nothing of the host's own tree can be reached from it.
// Basis: mount_namespaces(7), pivot_root(2).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::cli::oci {

// Replaces the tree that `process` sees, which must be in a mount namespace of its own, by that of
// the container. Call when the container exists: its mount points have been made by then.
//
// proc     a mount to be attached at the container's /proc, or -1
// rootfs   absolute, without symbolic links; `spec` has relative sources of mounts resolved
//
// Errors  kFailedPrecondition  the process shares this process's mount namespace
Result<void> ShowRootAt(pid_t process, const ::kata::oci::Spec& spec, const std::string& rootfs,
                        int proc = -1);

}  // namespace kata::cli::oci
