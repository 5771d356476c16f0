// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/memory_file.h - a file in memory for a guest's memory to live in.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::hypervisor {

// Empty, of that size; its pages come as they are written.
Result<sys::UniqueFd> MakeMemoryFile(uint32_t mib);

}  // namespace kata::hypervisor
