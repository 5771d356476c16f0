// SPDX-License-Identifier: Apache-2.0
//
// host/shim/template_action.h - the action `template`: make the template of a configuration.
#pragma once

#include <string>

namespace kata::shim {

// Reads annotations from stdin and makes the template of the configuration at `config_path`, or of
// the one that is found. Tells what it does on stderr, a line a step.
// Returns the exit code.
int RunTemplate(const std::string& config_path);

}  // namespace kata::shim
