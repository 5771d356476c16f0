// SPDX-License-Identifier: Apache-2.0
//
// host/shim/timestamp.h - points in time as the protocols carry them.
#pragma once

#include <chrono>

#include "proto/wellknown.pb.h"

namespace kata::shim {

inline wellknown::Timestamp ToTimestamp(std::chrono::system_clock::time_point when) {
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  const auto since = when.time_since_epoch();
  const auto whole = std::chrono::floor<seconds>(since);
  wellknown::Timestamp timestamp;
  timestamp.set_seconds(whole.count());
  timestamp.set_nanos(
      static_cast<int32_t>(std::chrono::duration_cast<nanoseconds>(since - whole).count()));
  return timestamp;
}

}  // namespace kata::shim
