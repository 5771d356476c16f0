// SPDX-License-Identifier: Apache-2.0
//
// cli/checks.h - what `kata-runtime check` looks at.
#pragma once

#include <string>
#include <vector>

#include "host/cli/finding.h"
#include "host/config/load.h"

namespace kata::cli {

// Facts of the machine below `root` (empty: this one): processor, devices, cgroups, memory, space.
std::vector<Finding> CheckHost(const std::string& root, const config::Loaded& loaded);

// The accelerator that a VM would get, with its reason.
Finding CheckAccelerator(const config::Loaded& loaded);

// The VMM, virtiofsd, kernel, initrd, what images of layers are made with: there, whole and recent
// enough.
std::vector<Finding> CheckPrograms(const config::Loaded& loaded);

}  // namespace kata::cli
