// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/judge.h - measurements to words: what is slow or broken, and what to do.
#pragma once

#include <string>
#include <vector>

#include "host/cli/doctor/measurements.h"
#include "host/cli/finding.h"

namespace kata::cli::doctor {

// Pure. In the order of a start: what failed, the machine, the processor, exec, network, files,
// templates, warm machines, memory, virtiofsd, front ends. A problem is what keeps containers from
// running; all else is a note.
std::vector<Finding> Judge(const Facts& facts, const Trial& trial);

// What a person does about an error of the product's; empty where nobody knows better than the
// message itself.
std::string RemedyOf(const std::string& error);

// "1.2 s", "340 ms", "0.8 ms".
std::string Duration(double millis);

}  // namespace kata::cli::doctor
