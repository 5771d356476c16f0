// SPDX-License-Identifier: Apache-2.0
//
// host/shim/shim_log.h - where the daemon's log goes.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::shim {

// A log that is a file is emptied before it would grow beyond this.
inline constexpr size_t kMaxLogFile = 1 << 20;

// A descriptor for log::SetOutput(): `log` of the bundle, or /dev/null when the bundle has none.
// With containerd it is a fifo, which containerd reads. Writing never blocks and never raises
// SIGPIPE, whether containerd reads or not: what it has not read yet waits in the fifo, 64 KiB, for
// the next containerd; further lines are dropped. The OCI command line makes it a file.
// Errors  those of opening /dev/null
Result<sys::UniqueFd> OpenShimLog(const std::string& bundle);

}  // namespace kata::shim
