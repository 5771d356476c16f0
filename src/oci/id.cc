// SPDX-License-Identifier: Apache-2.0
#include "oci/id.h"

#include <string>

#include <fmt/format.h>

namespace kata::oci {
namespace {

constexpr size_t kShownBytes = 80;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// The id as one line of printable ASCII.
std::string Shown(std::string_view id) {
  std::string shown;
  for (const char c : id.substr(0, kShownBytes)) {
    if (c == '"' || c == '\\') {
      shown += '\\';
      shown += c;
    } else if (c >= ' ' && c <= '~') {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (id.size() > kShownBytes) shown += "...";
  return shown;
}

std::string BrokenRule(std::string_view id) {
  if (id.size() > kMaxIdBytes) {
    return fmt::format("{} characters long, at most {} are allowed", id.size(), kMaxIdBytes);
  }
  for (const char c : id) {
    if (IsAlphanumeric(c) || c == '.' || c == '-' || c == '_') continue;
    return fmt::format("contains '{}'; letters, digits, '.', '-' and '_' are allowed",
                       Shown({&c, 1}));
  }
  if (!IsAlphanumeric(id.front())) return "must begin with a letter or a digit";
  if (id.find("..") != id.npos) return "must not contain \"..\"";
  return {};
}

}  // namespace

Result<void> ValidateId(std::string_view what, std::string_view id) {
  if (id.empty()) return Fail(Code::kInvalidArgument, fmt::format("{} is empty", what));
  const std::string broken = BrokenRule(id);
  if (broken.empty()) return {};
  return Fail(Code::kInvalidArgument, fmt::format("{} \"{}\": {}", what, Shown(id), broken));
}

}  // namespace kata::oci
