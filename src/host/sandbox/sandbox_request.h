// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/sandbox_request.h - what the guest is asked to make before its first container.
#pragma once

#include <string>

#include "proto/agent.pb.h"

namespace kata::sandbox {

// A sandbox with the shared directory and a pod's /dev/shm.
agent::CreateSandboxRequest SandboxRequest(const std::string& sandbox_id,
                                           const std::string& hostname);

}  // namespace kata::sandbox
