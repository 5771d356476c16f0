// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/container_check.h - the proof that a front end's containers have machines of their own.
//
// A container prints its kernel's boot id and version. The id is the host's wherever the runtime is
// not what it is said to be, whatever the kernels' versions are.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/cli/setup/front_end.h"
#include "host/cli/setup/running_daemon.h"

namespace kata::cli::setup {

// What the container runs; /bin/cat is in nearly every image.
inline const std::vector<std::string> kProofArguments = {"/proc/sys/kernel/random/boot_id",
                                                         "/proc/version"};
inline constexpr const char* kProofProgram = "cat";

// The few of `images` that are tried, those first that are sure to have a cat.
std::vector<std::string> ImagesToTry(std::vector<std::string> images);

// What an ended container says about itself.
SetupStep JudgeContainer(const std::string& image, const ProgramResult& container,
                         const std::string& host_boot_id);

// Whether the container ended because its image has no such program.
bool LacksProgram(const ProgramResult& container);

// Runs containers until one has given a verdict. `asked`: the only image is what the user named.
SetupStep CheckByContainer(const std::vector<std::string>& images, bool asked,
                           const std::function<Result<ProgramResult>(const std::string&)>& run);

// A name for a container that no other has.
std::string CheckName();

}  // namespace kata::cli::setup
