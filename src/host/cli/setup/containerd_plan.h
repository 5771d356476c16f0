// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/containerd_plan.h - a runtime handler in containerd's configuration. Pure functions
// over its text.
//
// Where a drop-in names a plugin, containerd 1.x drops all that the main file says of that plugin,
// so there the handler is a block at the end of the main file. containerd 2 merges, but only files
// of one version: a drop-in has the main file's. Basis: containerd-config.toml(5); the CRI plugin's
// documentation of its configuration.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/cli/setup/front_end.h"

namespace kata::cli::setup {

struct ContainerdRuntime {
  std::string name;
  bool make_default = false;
  std::string shim;  // its path, where containerd would not find it; else ""
};

// What matters of a configuration's text.
struct ContainerdFacts {
  int version = 1;
  bool cri_is_disabled = false;
  std::vector<std::string> imports;
};
// Errors  kInvalidArgument  not TOML; the message names the line
Result<ContainerdFacts> ReadContainerd(const std::string& file, const std::string& text);

// The directory of drop-ins that `imports` names, as in "/etc/containerd/conf.d/*.toml"; "" if
// none.
std::string DropInDirOf(const std::vector<std::string>& imports);

// A drop-in for a main file of this version, 2 or 3.
std::string ContainerdDropIn(int version, const ContainerdRuntime& runtime);

// `text` with the handler in it, proven by parsing both. Nothing else is changed: a block at the
// end, and for the default the line of `default_runtime_name`.
// Errors  those of FrontEnd::Plan; kUnimplemented, with the lines to add, where the text's form
// does
//         not allow for it
Result<std::string> PlanContainerd(const std::string& file, const std::string& text,
                                   const ContainerdRuntime& runtime,
                                   const std::optional<SetupRecord>& record);
// `text`, which others have changed since, without that.
std::string UnplanContainerd(const std::string& text, const SetupRecord& record);

// Compares what containerd makes of its files before and after ("containerd config dump").
// Errors  kFailedPrecondition  something else would change as well, or the handler is not there
Result<void> CompareContainerdDumps(const std::string& before, const std::string& after,
                                    const ContainerdRuntime& runtime);

}  // namespace kata::cli::setup
