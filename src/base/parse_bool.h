// SPDX-License-Identifier: Apache-2.0
//
// base/parse_bool.h - booleans on command lines that Go programs write.
// Basis: Go's strconv.ParseBool.
#pragma once

#include <optional>
#include <string_view>

namespace kata {

// Nothing for other words than 1, t, T, true, TRUE, True, 0, f, F, false, FALSE, False.
std::optional<bool> ParseBool(std::string_view word);

}  // namespace kata
