// SPDX-License-Identifier: Apache-2.0
//
// host/record/size_report.h - how big a sandbox's machine is against what was asked for, kept for
// those who ask.
//
// A container whose limits are more than a machine can have runs all the same, as it does where
// limits are no reservations. One JSON file beside the sandbox's record, gone with it:
//   {"asked":{"vcpus":2,"memory_mib":24576},"has":{...},"most":{...},"reason":"..."}
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "host/record/record.h"

namespace kata::sandbox {

// Processors and memory; either what containers ask for or what a machine has.
struct MachineSize {
  uint32_t vcpus = 0;
  uint32_t memory_mib = 0;

  friend bool operator==(const MachineSize&, const MachineSize&) = default;
};

// Each at most what its type holds: limits may be any number.
MachineSize operator+(const MachineSize& a, const MachineSize& b);

struct SizeReport {
  MachineSize asked;   // the machine's own size and what its containers' limits add up to
  MachineSize has;     // what the guest has in use
  MachineSize most;    // that the machine can have
  std::string reason;  // why it has not what was asked for, as far as somebody said

  friend bool operator==(const SizeReport&, const SizeReport&) = default;
};

// One line for people when memory is less than what was asked for, else nothing. Fewer processors
// than the limits add up to are no shortage: a quota is a share of those that there are.
std::string DescribeShortage(const SizeReport& report);

// Of what was asked for, what the machine does not have.
uint32_t MissingMib(const SizeReport& report);

// Whether a growth from `before` to `after` has given the machine the memory that it was for, or
// can give it: what was missing already is nobody's fault who asks now.
// Errors  kResourceExhausted  more is missing than before; the message says how much would fit
Result<void> CheckGrowth(const SizeReport& before, const SizeReport& after);

// What was asked for, what there is and what there could be, as a table.
std::string FormatSizeTable(const SizeReport& report);

std::string FormatSizeReport(const SizeReport& report);
// Errors  kDataLoss
Result<SizeReport> ParseSizeReport(const std::string& text);

Result<void> SaveSizeReport(const std::string& sandbox_id, const SizeReport& report,
                            const std::string& root = kRecordsRoot);
// Errors  kNotFound  no machine of this sandbox runs
Result<SizeReport> LoadSizeReport(const std::string& sandbox_id,
                                  const std::string& root = kRecordsRoot);

}  // namespace kata::sandbox
