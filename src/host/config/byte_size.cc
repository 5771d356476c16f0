// SPDX-License-Identifier: Apache-2.0
#include "host/config/byte_size.h"

#include <cctype>
#include <charconv>

namespace kata::config {

Result<uint64_t> ParseByteSize(std::string_view text) {
  constexpr std::string_view kUnits = "KMGT";
  constexpr int kBitsOfUnit = 10;
  int shift = 0;
  std::string_view digits = text;
  if (!digits.empty()) {
    const auto last = static_cast<unsigned char>(digits.back());
    const size_t unit = kUnits.find(static_cast<char>(std::toupper(last)));
    if (unit != std::string_view::npos) {
      shift = kBitsOfUnit * static_cast<int>(unit + 1);
      digits.remove_suffix(1);
    }
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() ||
      number > (UINT64_MAX >> shift)) {
    return Fail(Code::kInvalidArgument, "expected a size, such as 512M or 10G");
  }
  return number << shift;
}

}  // namespace kata::config
