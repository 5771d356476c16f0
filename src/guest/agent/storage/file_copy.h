// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/file_copy.h - one file of an overlay's upper layer, as it is. Part of
// upper_mirror.h.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace kata::guest {

struct FileCopied {
  uint64_t bytes = 0;
  uint64_t lost_attributes = 0;  // that the target's file system does not take
};

// Makes the file `name` of the directory `from`, anything but a directory, in the directory `to`,
// where there is nothing of that name; `status` is its own. The process's umask is 0.
Result<FileCopied> CopyFileTo(int from, int to, const std::string& name, const struct stat& status);

// Gives the directory `to` the owner, mode, times and extended attributes of the directory `from`;
// returns how many attributes it does not take.
Result<uint64_t> CopyDirectoryAttributes(int from, int to);

}  // namespace kata::guest
