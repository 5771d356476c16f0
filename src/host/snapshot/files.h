// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/files.h - what the files of a snapshot are called.
#pragma once

#include <cstddef>
#include <string>

namespace kata::snapshot {

// Of the memory that a machine booted with: 0, and of its modules.
std::string MemoryName(size_t index);
std::string DiskName(size_t index);
std::string LayerName(size_t index);

}  // namespace kata::snapshot
