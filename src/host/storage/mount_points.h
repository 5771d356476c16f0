// SPDX-License-Identifier: Apache-2.0
//
// host/storage/mount_points.h - what mounts will cover in a root file system that the guest cannot
// write to.
//
// An image need not have the directories that its container mounts over. The guest makes them,
// except where the root is read-only: then the host does, before it makes it so, as runc does.
// Basis: OCI runtime-spec config.md "Mounts".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kata::storage {

struct MountPoint {
  std::string destination;  // absolute in the container
  bool file = false;        // an empty file, not a directory
  bool made = false;        // by MakeMountPoints
};

// Makes what is missing below `rootfs`, in the order given, and marks it as made. A destination
// below that of an earlier one is inside of what will be mounted there, and is left to the guest.
// Links in the image are followed as the container would follow them. A file system that cannot be
// written to is left as it is.
Result<void> MakeMountPoints(const std::string& rootfs, std::vector<MountPoint>* points);

// One place of our own to mount over, an empty directory or file, and its end.
Result<void> MakeMountPoint(const std::string& path, bool directory);
void RemoveMountPoint(const std::string& path);

}  // namespace kata::storage
