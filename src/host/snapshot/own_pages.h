// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/own_pages.h - the pages of a VMM's private mapping of a file that differ from the
// file: those that its guest has written.
//
// Basis: proc(5), /proc/pid/maps and mem; the kernel's pagemap.rst.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/factory/memory_image.h"

namespace kata::snapshot {

// A private mapping: where in the process it lies, and what part of the file it shows.
struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
  friend bool operator==(const Mapping&, const Mapping&) = default;
};
// The private mappings of the file with that inode on that device in the text of a maps file.
std::vector<Mapping> ParseMaps(std::string_view maps, uint64_t device, uint64_t inode);

// Whether an entry of a pagemap is of a page that is the process's own, in memory or swapped out.
bool IsOwn(uint64_t entry);

// Copies those pages of process `pid`, which must stand still, to the same places of `to`. Where
// they are, ascending and apart from each other. `file` is what it maps; any descriptor of it.
// Wants the rights of a debugger. Errors  kUnavailable, kNotFound  the process has gone, or maps no
// such file
Result<std::vector<factory::Extent>> CopyOwnPages(pid_t pid, int file, int to);

}  // namespace kata::snapshot
