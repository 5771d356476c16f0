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

struct TerminalMode {
  uint16_t rows = 0;  // in characters; 0 leaves them as the kernel has them
  uint16_t columns = 0;
  bool bare_line_feeds = false;  // without ONLCR
};

// From the devpts at /dev/pts of `root`.
Result<Terminal> OpenTerminal(const sys::RootDir& root, const TerminalMode& mode);

// Binds the slave over /dev/console, which is made where it is missing.
Result<void> BindConsole(const sys::RootDir& root, const Terminal& terminal);

// Makes `fd` the controlling terminal of the calling session's leader, which must have none.
Result<void> TakeTerminal(int fd);

}  // namespace kata::guest
