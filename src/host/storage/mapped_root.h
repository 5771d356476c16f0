// SPDX-License-Identifier: Apache-2.0
//
// host/storage/mapped_root.h - root file systems whose files have other owners than on the disk,
// for containers with users of their own.
//
// Basis: containerd's mount options uidmap=CONTAINER:HOST:SIZE[,…] and gidmap, which a snapshotter
// with the capability remap-ids gives (ctr run --remap-labels, Kubernetes' hostUsers: false);
// mount_setattr(2).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "host/storage/rootfs.h"
#include "host/storage/source_tree.h"

namespace kata::storage {

// Takes both options out of `mount`; nothing where it has neither.
// Errors  kInvalidArgument  only one of them, or no map
Result<std::optional<IdMapping>> TakeIdMapping(RootfsMount* mount);

// Mounts at the directory `target`. Paths of the mount are relative to `directory` unless it is
// empty.
using MountAt = std::function<Result<void>(const RootfsMount& mount, const std::string& directory)>;

// Mounts `mount` by `plainly` at the directory `target`, with ids mapped: of an overlay those of
// its lower directories. What is written to its upper directory has the owners there that the
// container's users have on the host. Errors  kUnimplemented  a file system cannot have its ids
// mapped
Result<void> MountMapped(RootfsMount mount, const IdMapping& ids, const std::string& target,
                         const MountAt& plainly);

}  // namespace kata::storage
