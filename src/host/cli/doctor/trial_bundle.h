// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/trial_bundle.h - the bundle of the doctor's container: one static program, and a
// directory shared with the host.
#pragma once

#include <string>

#include "base/result.h"

namespace kata::cli::doctor {

// Where the program is in the container, and the shared directory.
inline constexpr char kProbePath[] = "/probe";
inline constexpr char kSharedPath[] = "/shared";

// Makes `directory`, a bundle whose root file system has a copy of the program `probe`, and whose
// container waits in the network namespace at `network` until it is killed.
Result<void> MakeTrialBundle(const std::string& directory, const std::string& probe,
                             const std::string& network);

}  // namespace kata::cli::doctor
