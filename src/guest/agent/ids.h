// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/ids.h - names that the host gives to containers and execs.
#pragma once

#include <string_view>

#include "base/result.h"

namespace kata::guest {

// Accepts 1 to 255 characters, the first alphanumeric, the others alphanumeric, '.', '-' or '_', so
// that an id is always a plain file name. `what` names the id in the error.
// Errors  kInvalidArgument
Result<void> CheckId(std::string_view what, std::string_view id);

}  // namespace kata::guest
