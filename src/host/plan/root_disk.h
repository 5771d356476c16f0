// SPDX-License-Identifier: Apache-2.0
//
// host/plan/root_disk.h - whether a container's root file system is a disk of the machine.
//
// A snapshotter of block devices (devmapper, blockfile) gives one mount, of a device or of a file
// that is to be looped. The guest gets that as a disk and mounts it: no file of it crosses the
// boundary one by one, and the host's kernel never reads what a guest has written there. All other
// root file systems are shared, or put together in the guest (root_layers.h).
// Deciding only.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/config/config.h"
#include "host/plan/source.h"
#include "host/storage/rootfs.h"

namespace kata::sandbox {

struct RootDisk {
  std::string source;                // a block device, or a file of the host
  std::string type;                  // of its file system
  std::vector<std::string> options;  // of the mount in the guest
  bool read_only = false;
};

// Where a container's disk is mounted in the guest.
std::string GuestRootOf(const std::string& container_id);

// None: it is no disk, or is not to be one.
std::optional<RootDisk> PlanRootDisk(
    const std::vector<storage::RootfsMount>& rootfs, const config::HypervisorConfig& config,
    const std::function<SourceKind(const std::string&)>& classify = ClassifySource);

// Where nothing is shared, of one that is neither a disk nor can be put together of disks, because
// of `reason`: kFailedPrecondition, with the remedy.
std::unexpected<Error> RefuseToShareRoot(const Error& reason);

}  // namespace kata::sandbox
