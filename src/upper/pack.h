// SPDX-License-Identifier: Apache-2.0
//
// upper/pack.h - an overlay's upper layer written as a stream.
//
// All of it is there as it is: whiteouts, opaque directories, hard links, holes, owners, times,
// extended attributes; of overlayfs's own attributes those that mean the inodes of one file system
// only are left out.
// Basis: kernel Documentation/filesystems/overlayfs.rst; inode(7), xattr(7).
#pragma once

#include <time.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "upper/stream.h"

namespace kata::upper {

// What both sides can hold open at a time, and remove again.
inline constexpr int kDeepest = 250;

inline constexpr size_t kMaxExtent = 256 << 10;

struct PackReport {
  uint64_t files = 0;  // of all kinds, without directories and what is kept
  uint64_t bytes = 0;  // of their contents
};

// Writes the directory `from`, below which nobody may write meanwhile. Files whose ctime is older
// than `unchanged_before` are said to be kept (0: none). Follows no link. Takes as long as there
// are files.
// Errors  kResourceExhausted  as StreamWriter
//         kOutOfRange         directories more than kDeepest deep, or too many attributes
//         of the system call that failed, with the entry's path
Result<PackReport> Pack(const std::string& from, const timespec& unchanged_before,
                        StreamWriter& to);

}  // namespace kata::upper
