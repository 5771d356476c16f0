// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/loop.h - storages of driver "loop": file systems in files of the guest's.
//
// `source` is the file, a regular one; `fstype` and `options` are those of a disk, and with "ro"
// the file is only read. The loop device goes with the mount.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

inline constexpr const char* kLoopDriver = "loop";

// Whether the kernel has what the driver needs for image layers: loop devices and EROFS. Makes it
// load their drivers, and the first few devices: a machine that others begin from has them then.
bool HasLoopDriver();

// Mounts `storage` on `point`, which is made where it is missing.
// Errors  as sys::AttachLoop and sys::MountNew
Result<void> MountLoop(const agent::Storage& storage, const std::string& point);

}  // namespace kata::guest
