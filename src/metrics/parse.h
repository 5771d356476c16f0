// SPDX-License-Identifier: Apache-2.0
//
// metrics/parse.h - reading Prometheus' text from a guest, which is hostile.
//
// Whatever it holds, what comes out has names that are names, labels of printable ASCII, few
// samples, and no two of the same labels; what does not fit is left out and counted.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "proto/metrics.pb.h"

namespace kata::metrics {

struct Parsed {
  Metrics metrics;
  size_t refused = 0;  // lines
};

// What a name must begin with to be taken. Help and type are the catalogue's; of names that it does
// not have the type is that of the text, where it is a gauge or a counter.
Parsed ParseGuestText(std::string_view text, std::span<const std::string_view> prefixes);

inline constexpr size_t kMostGuestText = 512 << 10;  // bytes; what is behind is not read
inline constexpr size_t kMostGuestSamples = 4000;
inline constexpr size_t kMostGuestFamilies = 64;
inline constexpr size_t kMostGuestLabels = 4;       // of a sample
inline constexpr size_t kMostGuestLabelValue = 64;  // letters; longer ones are refused

}  // namespace kata::metrics
