// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/boot_id.h - a boot id of its own for a copy of a guest.
//
// A kernel that has told its boot id once tells the same for ever, in every copy of its memory.
// The containers of a copy see another one: a file that is mounted over the kernel's.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "guest/agent/container_table.h"
#include "sys/event_loop.h"

namespace kata::guest {

// Has all containers read `boot_id`, a UUID as the kernel writes it; those that have no /proc have
// nothing to read it from. `done` on the loop's thread, once all do.
// Errors  kInvalidArgument  no UUID
void ShowBootId(sys::EventLoop& loop, const ContainerTable& containers, const std::string& boot_id,
                std::move_only_function<void(Result<void>)> done);

}  // namespace kata::guest
