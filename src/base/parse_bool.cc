// SPDX-License-Identifier: Apache-2.0
#include "base/parse_bool.h"

namespace kata {

std::optional<bool> ParseBool(std::string_view word) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (word == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

}  // namespace kata
