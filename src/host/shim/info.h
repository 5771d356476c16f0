// SPDX-License-Identifier: Apache-2.0
//
// host/shim/info.h - what this runtime is and can do: the actions -info and -v.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/shim.pb.h"

namespace kata::shim {

// The name that containerd selects this runtime by.
inline constexpr char kRuntimeName[] = "io.containerd.kata.v2";

// `options`: a marshalled Any that is handed back as it came; may be empty.
// The member features is an Any with the JSON of OCI runtime-spec features.md.
// Errors  kInvalidArgument  `options` is not an Any
Result<RuntimeInfo> MakeRuntimeInfo(const std::string& options);

// -info: options from stdin, RuntimeInfo on stdout. Returns the exit code.
int RunInfo();

// -v: the form that containerd's own shims print, headed by `program`, the word this program was
// started with. Returns the exit code.
int RunVersion(std::string_view program);
std::string VersionText(std::string_view program);

}  // namespace kata::shim
