// SPDX-License-Identifier: Apache-2.0
//
// config/byte_size.h - sizes as people write them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace kata::config {

// The bytes of "10G": a whole number, and at its end one of K, M, G, T (of 1024 each), large or
// small, or nothing.
// Errors  kInvalidArgument  the message is "expected ..."
Result<uint64_t> ParseByteSize(std::string_view text);

}  // namespace kata::config
