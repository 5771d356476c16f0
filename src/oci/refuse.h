// SPDX-License-Identifier: Apache-2.0
//
// oci/refuse.h - the words of oci/validate.h's errors: the place, the value, what is wrong with it.
#pragma once

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/result.h"

namespace kata::oci {

inline bool IsOneOf(std::string_view word, const auto& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

inline std::unexpected<Error> Refuse(std::string_view where, std::string_view problem) {
  return Fail(Code::kInvalidArgument, fmt::format("{}: {}", where, problem));
}

// Shows the value, shortened: it comes from outside.
inline std::unexpected<Error> RefuseValue(std::string_view where, std::string_view value,
                                          std::string_view problem) {
  constexpr size_t kShownBytes = 60;
  return Refuse(where, fmt::format("\"{}\"{} {}", value.substr(0, kShownBytes),
                                   value.size() > kShownBytes ? "..." : "", problem));
}

inline Result<void> RequireAbsolute(std::string_view where, std::string_view path) {
  if (path.empty()) return Refuse(where, "is missing");
  if (!path.starts_with('/')) return RefuseValue(where, path, "is not an absolute path");
  return {};
}

}  // namespace kata::oci
