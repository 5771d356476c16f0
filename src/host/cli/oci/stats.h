// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/stats.h - a container's metrics as `events` prints them.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "proto/wellknown.pb.h"

namespace kata::cli::oci {

struct Stats {
  nlohmann::ordered_json data;
  uint64_t oom_kills = 0;
};

// `metrics` is what the Task API's Stats answers: io.containerd.cgroups.v1.Metrics or v2.
// Errors  kInternal  it is neither
Result<Stats> ReadStats(const wellknown::Any& metrics);

}  // namespace kata::cli::oci
