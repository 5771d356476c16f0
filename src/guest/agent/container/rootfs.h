// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/rootfs.h - making the tree that the container sees, and moving into it.
//
// Everything here runs in the forked child, inside its own mount namespace, in this order. The
// agent's /proc must still be visible until EnterRoot.
// Basis: OCI runtime-spec config.md "Root", "Mounts", config-linux.md.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/mount_plan.h"
#include "guest/agent/container/user_namespace.h"
#include "proto/oci.pb.h"
#include "sys/root_dir.h"

namespace kata::guest {

// Cuts this mount namespace off from the agent's, then makes `path` a mount of its own.
// `propagation` is linux.rootfsPropagation, empty for the default (rslave).
Result<sys::RootDir> OpenRoot(const std::string& path, const std::string& propagation);

// Mounts in order. Destinations are made where they are missing. Ids in options are `user`'s.
Result<void> ApplyMounts(const sys::RootDir& root, const std::vector<PlannedMount>& mounts,
                         const UserNamespace& user);

// Default nodes and links, and `spec`'s devices, which belong to the ids that `user` gives.
Result<void> MakeDevices(const sys::RootDir& root, const oci::Spec& spec,
                         const UserNamespace& user);

// A tmpfs on /dev that is to be read-only becomes so after MakeDevices.
Result<void> FinishDev(const sys::RootDir& root, const std::vector<PlannedMount>& mounts);

// Makes paths invisible (masked) and unchangeable (read-only). Missing ones are left alone.
Result<void> ProtectPaths(const sys::RootDir& root, const oci::Linux& linux_part);

// The root becomes "/" and nothing else of the old tree stays reachable. The working directory is
// then "/".
Result<void> EnterRoot(const sys::RootDir& root, const std::string& propagation, bool read_only);

}  // namespace kata::guest
