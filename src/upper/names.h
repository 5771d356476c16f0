// SPDX-License-Identifier: Apache-2.0
//
// upper/names.h - names in a directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::upper {

// Without "." and "..", in ascending order of their bytes.
Result<std::vector<std::string>> SortedNames(int directory);

// Whether a directory can have an entry of that name.
bool IsName(std::string_view name);

}  // namespace kata::upper
