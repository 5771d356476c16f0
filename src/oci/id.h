// SPDX-License-Identifier: Apache-2.0
//
// oci/id.h - which identifiers are accepted from callers.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace kata::oci {

// Long enough for every engine's ids (64 hexadecimal digits at most) and containerd's own bound;
// short enough that a socket path made from an id keeps below the kernel's 108 bytes.
inline constexpr size_t kMaxIdBytes = 76;

// Whether `id` may become part of paths, cgroup names and messages to the guest: 1 to kMaxIdBytes
// bytes of letters, digits, '.', '-' and '_', beginning with a letter or a digit, without "..".
//
// what  what the identifier names, such as "container id"; the error begins with it
//
// Errors  kInvalidArgument  the message shows the id, shortened, and the rule that it breaks
Result<void> ValidateId(std::string_view what, std::string_view id);

}  // namespace kata::oci
