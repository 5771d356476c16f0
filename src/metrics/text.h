// SPDX-License-Identifier: Apache-2.0
//
// metrics/text.h - metrics as Prometheus reads them.
// Basis: Prometheus' text exposition format, version 0.0.4.
#pragma once

#include <string>

#include "proto/metrics.pb.h"

namespace kata::metrics {

inline constexpr char kTextType[] = "text/plain; version=0.0.4; charset=utf-8";

// Values of labels and the help are escaped; names are taken to be names.
std::string FormatText(const Metrics& metrics);

// Of one value: the shortest that reads back the same.
std::string FormatValue(double value);

}  // namespace kata::metrics
