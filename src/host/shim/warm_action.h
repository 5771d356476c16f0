// SPDX-License-Identifier: Apache-2.0
//
// host/shim/warm_action.h - the action `warm`: a shim that has its machine before it has a sandbox.
#pragma once

#include <span>

#include "host/shim/command_line.h"

namespace kata::shim {

// Prepares a machine, tells the service kata-factory over -control-fd that it is ready, and waits:
// for the connection of a `start`, whose daemon it becomes, or for the service's end, which is its
// own. `arguments` are the process's, which show from then on what a daemon's show. Returns the
// exit code.
int RunWarm(const CommandLine& line, std::span<const char* const> arguments);

}  // namespace kata::shim
