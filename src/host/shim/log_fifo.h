// SPDX-License-Identifier: Apache-2.0
//
// host/shim/log_fifo.h - where the daemon's log goes.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::shim {

// A descriptor for log::SetOutput(): the fifo `log` of the bundle, which containerd reads, or
// /dev/null when the bundle has none. Writing never blocks and never raises SIGPIPE, whether
// containerd reads or not: what it has not read yet waits in the fifo, 64 KiB, for the next
// containerd; further lines are dropped.
// Errors  those of opening /dev/null
Result<sys::UniqueFd> OpenLogFifo(const std::string& bundle);

}  // namespace kata::shim
