// SPDX-License-Identifier: Apache-2.0
//
// oci/runtime_error.h - the words that runc, and containerd's shim for it, put in front of the
// reason why a process could not be made.
//
// Engines derive exit codes from the whole text, and people and programs search for its beginning,
// so ours is the same, runc's name included:
//   OCI runtime create failed: runc create failed: unable to start container process: REASON
//   OCI runtime start failed: REASON
//   OCI runtime exec failed: exec failed: unable to start container process: REASON
// Their code is kUnknown: others would become words behind the reason, or another HTTP status.
// Basis: runc 1.1 under the shims of containerd 1.6 to 2.1.
#pragma once

#include <string_view>

#include "base/error.h"

namespace kata::oci {

enum class Step { kCreate, kStart, kExec };

// What runc itself says before REASON, after the name of its command.
inline constexpr std::string_view kCannotStart = "unable to start container process";

// The error of the shim whose process was not made because of `reason`.
Error AsShimError(Step step, Error reason);

// The other way round, for a caller of our shim that puts runc's words there itself: what stands
// behind "OCI runtime ... failed: ", and the command's "failed: " where there is one. Errors
// without these words stay as they are.
Error WithoutShimWords(Step step, Error error);

}  // namespace kata::oci
