// SPDX-License-Identifier: Apache-2.0
//
// host/shim/options.h - the runtime options that come with a container.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "proto/wellknown.pb.h"

namespace kata::shim {

// Empty members were not given.
struct RuntimeOptionsValue {
  std::string config_path;  // of a configuration.toml
  std::string config_body;  // TOML itself: CRI's option table when it has no ConfigPath
};

// runtimeoptions.v1.Options is read; runc's options, which ctr and nerdctl send to every runtime,
// count as none, and so does an empty message.
//
// Errors  kInvalidArgument  an unknown type, or a value that does not parse: the user asked for
//                           something that would be lost
Result<RuntimeOptionsValue> ParseRuntimeOptions(const wellknown::Any& options);

// Whether a container is to end when it has been saved; nothing where that is not said.
// containerd.runc.v1.CheckpointOptions is read, whose other members say nothing to a machine.
// Errors  kInvalidArgument  an unknown type, or a value that does not parse
Result<std::optional<bool>> ParseCheckpointExit(const wellknown::Any& options);

}  // namespace kata::shim
