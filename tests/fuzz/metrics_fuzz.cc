// SPDX-License-Identifier: Apache-2.0
//
// What a guest may call its metrics. What is taken is written so that it is taken again, all of it.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz_support.h"
#include "metrics/parse.h"
#include "metrics/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kata::fuzz::Check;
  using kata::metrics::ParseGuestText;
  constexpr std::array<std::string_view, 2> kPrefixes = {"kata_guest_", "kata_agent_"};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = ParseGuestText(text, kPrefixes);
  const std::string written = kata::metrics::FormatText(parsed.metrics);
  for (const char c : written) Check(c == '\n' || (c >= ' ' && c <= '~'));
  const auto again = ParseGuestText(written, kPrefixes);
  Check(again.refused == 0);
  Check(kata::metrics::FormatText(again.metrics) == written);
  return 0;
}
