// SPDX-License-Identifier: Apache-2.0
//
// host/shim/load_config.h - the configuration as this process reads it for a sandbox.
#pragma once

#include <string>

#include "base/result.h"
#include "host/config/load.h"

namespace kata::shim {

// `path` of a configuration.toml, or empty. Logs what is to be warned of, and logs as much from
// here on as it says. Errors  of config::Load
Result<config::Loaded> LoadConfig(const std::string& path);

}  // namespace kata::shim
