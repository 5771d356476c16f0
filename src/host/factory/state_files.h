// SPDX-License-Identifier: Apache-2.0
//
// factory/state_files.h - what a VMM has written of a VM's devices and processors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace kata::factory {

// The files of a VM's saved state, by their names.
using StateFiles = std::map<std::string, std::string>;

// The most that one of them has.
inline constexpr size_t kMaxState = 64 << 20;

// Errors  kNotFound    none in `folder`
//         kOutOfRange  more than a VMM writes
Result<StateFiles> ReadState(const std::string& folder);
// Makes `folder` and the files in it.
Result<void> WriteState(const StateFiles& files, const std::string& folder);

uint64_t BytesOf(const StateFiles& files);
// Of their names, too.
uint64_t ChecksumOf(const StateFiles& files);

}  // namespace kata::factory
