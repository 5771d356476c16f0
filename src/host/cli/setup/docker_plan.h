// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/docker_plan.h - what /etc/docker/daemon.json should say. Pure functions over its text.
//
// Basis: dockerd(8), "Daemon configuration file". Docker reads no folder of drop-ins.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/cli/setup/front_end.h"

namespace kata::cli::setup {

// The value of "runtimes".NAME for a Docker of this major version, 0 where it is not known.
//
// From 23 on Docker starts shims by their type, or by their path where containerd would not find
// them. What is older drops "runtimeType" silently and runs runc instead; a runtime of runc's
// command line is right for every version.
std::string DockerRuntimeEntry(int major, const KataPrograms& programs, bool shim_is_in_path);

struct DockerRuntime {
  std::string name;
  std::string entry;  // by DockerRuntimeEntry
  bool make_default = false;
};

// `text` with the runtime in it. `file` is named in errors.
// Errors  those of FrontEnd::Plan
Result<std::string> PlanDocker(const std::string& file, const std::optional<std::string>& text,
                               const DockerRuntime& runtime,
                               const std::optional<SetupRecord>& record);

// `text`, which others have changed since, without what the record says is ours; nullopt where
// nothing else is in it and there was no file before.
Result<std::optional<std::string>> UnplanDocker(const std::string& text, const SetupRecord& record);

// What dockerd knows after it has loaded `text`.
struct DockerExpectation {
  bool has_runtime = false;
  bool is_default = false;
};
DockerExpectation ExpectOfDocker(const std::optional<std::string>& text, const std::string& name);

// dockerd keeps what it knows for a key that is absent from a file that it loads again: `text` with
// those keys at the values that they have after a start. nullopt where it has them.
std::optional<std::string> InterimDocker(const std::optional<std::string>& text,
                                         bool default_is_flag);

// Why a dockerd with these arguments would not start any more with the runtime in its file.
Result<void> CheckDockerArguments(const std::vector<std::string>& argv,
                                  const DockerRuntime& runtime);

// The address to ask dockerd at, from its arguments and its file: the first that is a socket.
std::string DockerAddress(const std::vector<std::string>& argv,
                          const std::optional<std::string>& text);

}  // namespace kata::cli::setup
