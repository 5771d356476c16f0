// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/trial.h - a machine, a container in it, a network, an exec: tried one after the other,
// by the commands that people and engines use.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "host/cli/doctor/measurements.h"

namespace kata::cli::doctor {

struct TrialOptions {
  std::string program;        // kata-runtime
  std::string probe;          // kata-stand-in
  std::string config;         // configuration.toml; empty: looked up
  std::string template_path;  // where templates are; empty: none is wanted
  Deadline deadline = Deadline::Never();
  int cancel = -1;  // readable: stop, and clean up
  // Called when something new begins.
  std::function<void(std::string_view phase)> progress;
};

// Where what is needed for the time of a trial is kept, a directory for each.
inline constexpr char kTrialsRoot[] = "/run/kata-runtime-doctor";

// Tries, and removes all that was made for it; what a doctor that was killed left is removed first.
// A step that fails ends the trial, and is told in its phase.
// Errors  nothing could be tried: the directory, the program
Result<Trial> RunTrial(const TrialOptions& options, const std::string& root = kTrialsRoot);

}  // namespace kata::cli::doctor
