// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/pidfd_socket.h"

#include <chrono>

#include "sys/process.h"
#include "sys/sockets.h"

namespace kata::cli::oci {

Result<void> SendPidFd(const std::string& path, pid_t pid) {
  if (path.empty()) return {};
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  const sys::UniqueFd process = KATA_TRY(sys::OpenPidFd(pid));
  const sys::UniqueFd socket = KATA_TRY_WITHIN("pidfd socket", sys::ConnectUnix(path, deadline));
  KATA_TRY_WITHIN("pidfd socket", sys::SendWithFd(socket.get(), "pidfd", process.get(), deadline));
  return {};
}

}  // namespace kata::cli::oci
