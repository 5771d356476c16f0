// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/ids.h"

#include <fmt/format.h>

namespace kata::guest {
namespace {

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

Result<void> CheckId(std::string_view what, std::string_view id) {
  constexpr size_t kMaxLength = 255;
  if (id.empty()) return Fail(Code::kInvalidArgument, fmt::format("{} is empty", what));
  if (id.size() > kMaxLength) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} has {} characters, more than {}", what, id.size(), kMaxLength));
  }
  bool valid = IsAlphanumeric(id.front());
  for (const char c : id) valid &= IsAlphanumeric(c) || c == '.' || c == '-' || c == '_';
  if (!valid) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} \"{}\": only letters, digits, '.', '-' and '_' are allowed, the "
                            "first must be a letter or digit",
                            what, id));
  }
  return {};
}

}  // namespace kata::guest
