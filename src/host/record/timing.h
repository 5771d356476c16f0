// SPDX-License-Identifier: Apache-2.0
//
// host/record/timing.h - where the time of a container's start went, kept for those who ask later.
//
// One JSON file a container beside the sandbox's record:
//   {"from":"template","created":[{"phase":"plan","ms":0.3}],"booted":[...],"started":[...]}
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/record/record.h"

namespace kata::sandbox {

struct Phase {
  std::string name;
  double millis = 0;

  friend bool operator==(const Phase&, const Phase&) = default;
};

struct StartTiming {
  std::string from;            // what the machine began as; empty: it ran already
  std::vector<Phase> booted;   // of the machine, if it was started for this container
  std::vector<Phase> created;  // of Create; its phase "boot" is all of `booted` and the cgroup
  std::vector<Phase> started;  // of Start

  friend bool operator==(const StartTiming&, const StartTiming&) = default;
};

std::string FormatTiming(const StartTiming& timing);
// Errors  kDataLoss
Result<StartTiming> ParseTiming(const std::string& text);

Result<void> SaveTiming(const std::string& sandbox_id, const std::string& container_id,
                        const StartTiming& timing, const std::string& root = kRecordsRoot);
// Success also where there is none.
Result<void> RemoveTiming(const std::string& sandbox_id, const std::string& container_id,
                          const std::string& root = kRecordsRoot);
// Of a container of this sandbox.
// Errors  kNotFound  it has not been started
Result<StartTiming> LoadTimingIn(const std::string& sandbox_id, const std::string& container_id,
                                 const std::string& root = kRecordsRoot);
// Of the container of that id in whichever sandbox.
// Errors  kNotFound  no such container runs, or it has not been started
Result<StartTiming> LoadTiming(const std::string& container_id,
                               const std::string& root = kRecordsRoot);

}  // namespace kata::sandbox
