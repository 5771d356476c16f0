// SPDX-License-Identifier: Apache-2.0
//
// host/shim/layers_action.h - the action `layers`: make images of layers.
#pragma once

#include <string>

namespace kata::shim {

// Reads the layers' directories from stdin and makes an image of each that has none, as the
// configuration at `config_path` says, or the one that is found. Tells what it does on stderr, a
// line a step; one that fails keeps no other from being made.
// Returns the exit code.
int RunLayers(const std::string& config_path);

}  // namespace kata::shim
