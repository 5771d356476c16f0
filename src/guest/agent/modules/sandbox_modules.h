// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/modules/sandbox_modules.h - the modules that the host wants in the guest's kernel:
// `kernel_modules` of configuration.toml.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

// Errors  kInvalidArgument  a name or parameter that cannot be one, or too many
Result<void> CheckModules(const agent::CreateSandboxRequest& request);

// Loads the modules that `request` names, in its order. Of a module that is there already, loaded
// or built in, the parameters are set where they can be and differ. Waits for drivers: not for the
// agent's own thread.
// Errors  kFailedPrecondition  the kernel lacks a module, refuses it, or has a parameter fixed;
// with
//                              the kernel's release and the remedy
Result<void> LoadSandboxModules(const agent::CreateSandboxRequest& request);

// The part about parameters; `directory` is /sys/module or looks like it.
Result<void> SetModuleParameters(const std::string& directory, const agent::KernelModule& module);

}  // namespace kata::guest
