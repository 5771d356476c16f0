// SPDX-License-Identifier: Apache-2.0
//
// config/render.h - the configuration as text: for people, for programs, and as documentation.
#pragma once

#include <string>

#include "host/config/load.h"

namespace kata::config {

// TOML with the origin of each value behind it, as `kata-runtime env` prints it.
std::string RenderEffective(const Loaded& loaded);

// Markdown: a table of keys for each table of the file, then the keys without effect.
std::string RenderReference();

// The configuration.toml that is installed: every key with its meaning, commented out at its
// built-in default.
std::string RenderDefaultFile();

}  // namespace kata::config
