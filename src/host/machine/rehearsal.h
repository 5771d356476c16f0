// SPDX-License-Identifier: Apache-2.0
//
// host/machine/rehearsal.h - a throw-away container in a machine that nobody has yet, so that the
// way of the first real one has been gone before: emulated code is translated, pages are there.
#pragma once

#include <string>

#include "base/result.h"
#include "host/machine/machine.h"

namespace kata::sandbox {

// Makes a sandbox, gives it a network interface, runs a container in it, and takes all of it away
// again. `machine` is open, and `agent` that of its guest, which answers. `directory` is made and
// removed.
Result<void> Rehearse(Machine& machine, agent::AgentClient& agent, const std::string& directory);

}  // namespace kata::sandbox
