// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/boot_files.h - whether a kernel and an initrd can boot at all, found before a VM is
// started for nothing.
#pragma once

#include <string>

#include "base/result.h"

namespace kata::hypervisor {

// An x86-64 ELF kernel with a PVH entry note and all its segments, or a bzImage.
// Errors  kNotFound         no such file
//         kInvalidArgument  empty, truncated, or not a kernel; the message says which
Result<void> CheckKernel(const std::string& path);

// A file that begins like a cpio archive, plain or compressed (gzip, zstd, lz4, xz).
Result<void> CheckInitrd(const std::string& path);

// A disk image of at least one sector.
Result<void> CheckImage(const std::string& path);

}  // namespace kata::hypervisor
