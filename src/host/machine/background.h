// SPDX-License-Identifier: Apache-2.0
//
// host/machine/background.h - having things made for later starts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/config/load.h"

namespace kata::sandbox {

// Starts this same program with `action`, the configuration's file and `input` as its standard
// input, in these cgroups and in the host's mount namespace. It lives on when this process ends.
Result<void> StartInBackground(const config::Loaded& config, const std::string& action,
                               const std::string& input,
                               const std::vector<std::string>& cgroup_dirs);

// Has images of the layers in these directories made. Does nothing while another process makes any:
// the next start asks again.
Result<void> StartLayerBuild(const config::Loaded& config,
                             const std::vector<std::string>& directories,
                             const std::vector<std::string>& cgroup_dirs);

// What StartLayerBuild writes for the program's standard input, a zero byte behind each, and its
// way back.
// Errors  kInvalidArgument
std::string FormatDirectories(const std::vector<std::string>& directories);
Result<std::vector<std::string>> ParseDirectories(std::string_view text);

}  // namespace kata::sandbox
