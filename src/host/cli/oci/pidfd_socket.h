// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/pidfd_socket.h - handing a process to whoever listens for it.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace kata::cli::oci {

// Sends a pidfd of `pid`, a stand-in, over the unix socket at `path`, as runc does: a message with
// the descriptor's name. With an empty path nothing is done.
// Errors  as sys::ConnectUnix, OpenPidFd and SendWithFd; the message names the socket
Result<void> SendPidFd(const std::string& path, pid_t pid);

}  // namespace kata::cli::oci
