// SPDX-License-Identifier: Apache-2.0
//
// host/shim/bootstrap.h - what containerd says to `start` on stdin, and the answer on stdout.
//
// Three generations: containerd up to 1.7 reads a plain address and means shim version 2;
// 2.0 to 2.2 also read JSON with a version; 2.3 and later send BootstrapParams and read a
// BootstrapResult. The daemon serves the Task API of version 2 and 3 at once, so the answer alone
// decides which one is used. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/shim.pb.h"
#include "proto/wellknown.pb.h"

namespace kata::shim {

// The highest version of the Task API that the daemon serves.
inline constexpr int kMaxShimVersion = 3;

// One of the two is set, or none when stdin was empty.
struct StartInput {
  std::optional<BootstrapParams> params;
  std::optional<wellknown::Any> options;
};

// Both forms begin with a string in field 1: BootstrapParams with the id that `-id` repeats, an Any
// with the name of a message.
// Errors  kInvalidArgument  neither of the two
Result<StartInput> ParseStartInput(const std::string& input, std::string_view id);

// The configuration file that the runtime options name; empty: none, or containerd is older
// than 1.7 and tells them with Create only.
std::string ConfigPathOf(const StartInput& input);

// The answer, without a newline.
//
// address        "unix://..."
// max_version    $MAX_SHIM_VERSION; nullptr or no number: a containerd that knows version 2 only
// has_params     stdin held BootstrapParams
std::string FormatStartAnswer(std::string_view address, const char* max_version, bool has_params);

}  // namespace kata::shim
