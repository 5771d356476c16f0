// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/grow.h - file systems on disks that the host makes larger while they are
// mounted.
//
// Basis: ext4's EXT4_IOC_RESIZE_FS (Linux, fs/ext4/ioctl.c); /sys/dev/block/<major>:<minor>/size.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace kata::guest {

// Whether the disk that is mounted on `mount_point` has `bytes`, as far as whole sectors go: the
// host announces its new size, and the kernel takes a moment.
// Errors  kFailedPrecondition  it is no file system of a disk
Result<bool> DiskHas(const std::string& mount_point, uint64_t bytes);

// Makes the file system as large as its disk, which takes as long as it is large: for a child
// process. What is as large already is left as it is.
// Errors  kUnimplemented       it is not ext4
//         kFailedPrecondition  it is mounted read-only
Result<void> GrowFileSystem(const std::string& mount_point);

}  // namespace kata::guest
