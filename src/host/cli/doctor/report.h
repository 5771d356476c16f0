// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/report.h - the doctor's result, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "host/cli/doctor/measurements.h"
#include "host/cli/finding.h"

namespace kata::cli::doctor {

struct Report {
  std::string version;
  std::vector<Finding> checks;  // of `kata-runtime check`
  Facts facts;
  Trial trial;
  bool tried = false;             // the trial took place
  std::vector<Finding> findings;  // Judge()'s
};

// Whether containers run here: a trial that went to its end, and no problem.
bool Healthy(const Report& report);

// What is wrong first, then what could be better, then the times; what is as it should be is told
// in a line each.
std::string FormatText(const Report& report, bool colours);

// docs/cli.md has the members.
std::string FormatJson(const Report& report);

}  // namespace kata::cli::doctor
