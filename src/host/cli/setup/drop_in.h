// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/drop_in.h - the drop-ins for front ends that read folders of them: files that are
// setup's from the first line to the last.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/cli/setup/front_end.h"

namespace kata::cli::setup {

// Of Podman: containers.conf(5), [engine.runtimes].
std::string PodmanDropIn(const std::string& name, bool make_default, const KataPrograms& programs);

// Of CRI-O: crio.conf(5), [crio.runtime.runtimes.NAME] with the type "vm".
std::string CrioDropIn(const std::string& name, bool make_default, const KataPrograms& programs);

// `wanted`, unless the file is somebody else's.
// Errors  kAlreadyExists
Result<std::string> PlanDropIn(const ConfigFile& file, const std::string& wanted);

// The first line of such files.
inline constexpr std::string_view kDropInMark =
    "# Written by kata-runtime setup, which also removes it (--undo).\n";

}  // namespace kata::cli::setup
