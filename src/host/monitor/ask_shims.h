// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/ask_shims.h - the metrics of many sandboxes at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "proto/metrics.pb.h"

namespace kata::monitor {

// A shim that is asked, by its socket.
struct Question {
  std::string sandbox;
  std::string socket;
};

// In the order of the questions. All are asked at the same time on the caller's thread, so shims
// that do not answer cost the deadline once, however many they are.
std::vector<Result<metrics::Metrics>> AskShims(const std::vector<Question>& questions,
                                               Deadline deadline);

}  // namespace kata::monitor
