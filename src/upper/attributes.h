// SPDX-License-Identifier: Apache-2.0
//
// upper/attributes.h - what an entry of an upper layer has besides its content.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/upper.pb.h"

namespace kata::upper {

// Names of the extended attributes of what is at `path`, links not followed; none where its file
// system has no such.
Result<std::vector<std::string>> AttributeNames(const std::string& path);
// Whether the file system or the kernel does not take or show an extended attribute, by errno.
bool NotTaken(int cause);
// Whether an extended attribute is copied: not one of overlayfs's that means inodes of one file
// system.
bool IsPortable(std::string_view attribute);

bool Later(const timespec& one, const timespec& other);
bool SameTime(const timespec& one, const timespec& other);

// Owner, mode, times, extended attributes of what is at `path`; `status` is its own.
Result<void> ReadAttributes(const std::string& path, const struct stat& status, Entry* entry);
// The same the other way; what a file system does not take, or nobody may put there, is left out
// and counted. `path` is one that nobody but the caller can replace.
Result<uint64_t> WriteAttributes(const std::string& path, const Entry& entry);

timespec AccessedOf(const Entry& entry);
timespec ModifiedOf(const Entry& entry);

}  // namespace kata::upper
