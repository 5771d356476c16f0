// SPDX-License-Identifier: Apache-2.0
//
// host/storage/open_directory.h - what is in a directory that is open, without following its links.
#pragma once

#include <sys/stat.h>

#include <set>
#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::storage {

// With O_PATH and `flags`. Errors  those of openat(2)
Result<sys::UniqueFd> OpenEntry(int directory, const std::string& name, int flags = 0);
// Without "." and "..". Leaves the descriptor's position alone; it may be one with O_PATH.
Result<std::set<std::string>> NamesIn(int directory);
Result<struct stat> StatusOf(int fd);
// A path that leads there whatever the directory is called, while it is open.
std::string Below(int directory, const std::string& name);

}  // namespace kata::storage
