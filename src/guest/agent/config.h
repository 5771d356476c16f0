// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/config.h - what the host tells the agent on the kernel's command line.
//
// Names and defaults are upstream's where both agents have the option; options that we do not have
// are ignored, because hosts pass them to every agent.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace kata::guest {

struct Config {
  log::Level log_level = log::Level::kInfo;         // agent.log
  std::string server_addr;                          // agent.server_addr; empty: by what there is
  std::chrono::seconds hotplug_timeout{3};          // agent.hotplug_timeout
  std::chrono::seconds launch_process_timeout{30};  // agent.launch_process_timeout
  size_t container_pipe_size = 0;                   // agent.container_pipe_size; 0: the kernel's
  std::vector<std::string> warnings;                // one per option with a bad value
};

// Reads `command_line`, options separated by blanks. An option with a bad value keeps its default
// and leaves a warning.
Config ParseCommandLine(std::string_view command_line);

// KATA_AGENT_SERVER_ADDR and KATA_AGENT_LOG_LEVEL win over the command line.
void ApplyEnvironment(Config* config);

}  // namespace kata::guest
