// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/terminal.h - the container's pseudo terminal.
//
// It comes from the container's own devpts, so that its name means the same inside. Runs in the
// child.
// Basis: pts(4), ioctl_tty(2); OCI runtime-spec config.md "terminal".
#pragma once

#include <cstdint>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace kata::guest {

struct Terminal {
  sys::UniqueFd master;
  sys::UniqueFd slave;
};

// From the devpts at /dev/pts of `root`. Sizes of 0 are left as the kernel has them.
Result<Terminal> OpenTerminal(const sys::RootDir& root, uint16_t rows, uint16_t columns);

// Binds the slave over /dev/console, which is made where it is missing.
Result<void> BindConsole(const sys::RootDir& root, const Terminal& terminal);

// Makes `fd` the controlling terminal of the calling session's leader, which must have none.
Result<void> TakeTerminal(int fd);

}  // namespace kata::guest
