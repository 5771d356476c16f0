// SPDX-License-Identifier: Apache-2.0
//
// sys/loop_device.h - a file as a disk.
//
// Basis: loop(4); ioctl LOOP_CONFIGURE of Linux 5.8 or later.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// Goes away by itself with the last of its users: descriptors, and file systems mounted from it.
struct LoopDevice {
  UniqueFd fd;
  std::string path;  // such as "/dev/loop0"
};

// The regular file at `file` as a disk, whose reads and writes go past the page cache where the
// file's own system lets them: what is read from the disk is kept once. Blocks of 512 bytes, which
// every file system can be on.
//
// Errors  kNotFound           no such file
//         kInvalidArgument    it is not a regular file, or it is empty
//         kUnimplemented      the kernel has no loop devices
//         kResourceExhausted  others took every device that was free
Result<LoopDevice> AttachLoop(const std::string& file, bool read_only);

// Has the kernel load the driver, and makes the first `count` devices, unless they are there:
// the kernel makes them one by one otherwise, when a file is to be attached.
// Errors  kUnimplemented  the kernel has no loop devices
Result<void> MakeLoopDevices(int count);

}  // namespace kata::sys
