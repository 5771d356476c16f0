// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/setup.h - `kata-runtime setup`: one front end's file is changed, or put back.
//
// The change is shown before it is made, recorded before it is written, and put back when the front
// end does not take it or a container of it does not run.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/cli/setup/front_end.h"

namespace kata::cli::setup {

struct SetupReport {
  std::string front_end;  // the word of the command line
  std::string about;
  std::string path;
  std::string diff;
  bool dry_run = false;
  bool undo = false;
  std::vector<SetupStep> steps;
  std::vector<std::string> notes;

  bool ok() const;
};

// Hears of the report while it grows: a text for a terminal is written as things happen.
using SetupListener = std::function<void(std::string_view text)>;

// Does what the options say. The report tells of what was done and failed; an error means that
// nothing is changed.
//
// Errors  kPermissionDenied  not root
//         those of FrontEnd, of reading and of writing
Result<SetupReport> RunSetup(const std::string& word, SetupOptions options,
                             const KataPrograms& programs, const SetupListener& say);

// The same, for programs.
std::string RenderSetupJson(const SetupReport& report);

}  // namespace kata::cli::setup
