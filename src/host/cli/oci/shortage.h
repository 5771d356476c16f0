// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/shortage.h - telling those who create and change containers that a machine is too small.
#pragma once

#include <string>

#include "host/cli/oci/command.h"

namespace kata::cli::oci {

// Warns when the machine of this sandbox has less memory than its containers' limits add up to.
void WarnOfShortage(const Globals& globals, const std::string& sandbox_id);

}  // namespace kata::cli::oci
