// SPDX-License-Identifier: Apache-2.0
//
// host/plan/sandbox_request.h - what the guest is asked to make before its first container.
#pragma once

#include <string>
#include <vector>

#include "proto/agent.pb.h"

namespace kata::sandbox {

// A sandbox with a pod's /dev/shm, and with the shared directory where the machine `shares_files`.
// Each of `kernel_modules` is a name and its parameters, separated by spaces.
agent::CreateSandboxRequest SandboxRequest(const std::string& sandbox_id,
                                           const std::string& hostname, bool shares_files,
                                           const std::vector<std::string>& kernel_modules);

}  // namespace kata::sandbox
