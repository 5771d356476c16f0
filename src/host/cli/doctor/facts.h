// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/facts.h - what `kata-runtime doctor` looks up, other than by trying.
#pragma once

#include <string>
#include <vector>

#include "host/cli/doctor/measurements.h"
#include "host/config/load.h"

namespace kata::cli::doctor {

// Of this machine and the configuration in effect.
Facts ReadFacts(const config::Loaded& loaded);

// Whether the text of /proc/cpuinfo is that of a virtual machine.
bool ShowsHypervisor(const std::string& cpuinfo);

// Programs that start containers in `path`, folders of programs, and whether their configuration
// below `root` ("" for this machine) names this runtime.
std::vector<FrontEnd> FindFrontEnds(const std::string& root, const std::vector<std::string>& path);

}  // namespace kata::cli::doctor
