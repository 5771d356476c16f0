// SPDX-License-Identifier: Apache-2.0
//
// cli/accelerator.h - what a VM started now would run on.
#pragma once

#include <string>

#include "base/result.h"

namespace kata::cli {

struct AcceleratorFact {
  std::string kind;  // "kvm" or "tcg"
  std::string reason;
};

// For the configured word "auto", "kvm" or "tcg". May take the time of the probe, 100 ms.
// Errors  kFailedPrecondition  "kvm" was asked for and is not usable
Result<AcceleratorFact> DescribeAccelerator(const std::string& word);

}  // namespace kata::cli
