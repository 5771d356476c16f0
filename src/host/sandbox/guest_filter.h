// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/guest_filter.h - the packet filter of a guest's containers.
//
// Our guests come without iptables. The first call of either function hands it to them, from the
// folder beside the initrd that guest-image/build-iptables makes.
#pragma once

#include <string>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/config/config.h"

namespace kata::sandbox {

// Where the guest's iptables are on this host.
std::string FilterFolder(const config::Config& config);

// As iptables-save writes it. One call at a time, also of the other function.
// Errors  kNotFound  the guest has no iptables, and neither has `folder`
Result<std::string> ReadFilter(agent::AgentClient& agent, const std::string& folder, bool ipv6);
// As iptables-restore reads it.
// Errors  kInvalidArgument  not such text; nothing has changed
//         kNotFound
Result<void> WriteFilter(agent::AgentClient& agent, const std::string& folder, bool ipv6,
                         const std::string& rules);

}  // namespace kata::sandbox
