// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/upper_mirror.h - an overlay's upper layer made the same as another one.
//
// An upper layer on a disk of the guest's begins as a copy of the host's and is brought back to it.
// Both have the same form, so everything is copied as it is: whiteouts, opaque directories, hard
// links, holes, owners, times, extended attributes. Of overlayfs's own attributes those that mean
// the inodes of one file system only are left out.
// Basis: kernel Documentation/filesystems/overlayfs.rst; inode(7), xattr(7).
#pragma once

#include <time.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace kata::guest {

struct MirrorTimes {
  // Nothing of the source was changed after its last mirroring and before this: a file whose ctime
  // is older, and whose like is there in size and mtime, is not copied again. 0: all are copied.
  timespec unchanged_before{};
  // Entries that only the target has and whose ctime is later were put there by others, and stay.
  // 0: nothing stays.
  timespec kept_after{};
};

struct MirrorReport {
  uint64_t copied = 0;  // files of all kinds, without directories
  uint64_t bytes = 0;   // of their contents
  uint64_t removed = 0;
  uint64_t lost_attributes = 0;  // that the target's file system does not take
};

// Makes the directory `to` the same as the directory `from`, below both of which nobody else may
// write meanwhile. Neither follows links nor leaves the two directories. Takes as long as there are
// files: not for the agent's own thread. The process's umask is 0 meanwhile.
//
// Errors  of the system call that failed, with the entry's path; then `to` is something between
Result<MirrorReport> MirrorUpper(const std::string& from, const std::string& to,
                                 const MirrorTimes& times = {});

}  // namespace kata::guest
