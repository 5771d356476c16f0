// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/criu_files.h - files of CRIU that engines look for beside a checkpoint.
//
// Podman takes a directory without an inventory for no checkpoint, and reads how long a dump took.
// Basis: CRIU's image format (magic numbers and images/stats.proto).
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace kata::cli::oci {

// An inventory in `images`, without content, and in `work` what says that the dump took `took`;
// both directories exist.
Result<void> WriteCriuFiles(const std::string& images, const std::string& work,
                            std::chrono::microseconds took);

// The content of the latter.
std::string DumpStatistics(std::chrono::microseconds took);

}  // namespace kata::cli::oci
