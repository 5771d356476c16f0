// SPDX-License-Identifier: Apache-2.0
//
// host/stdio/logger.h - a container's logging program (`binary://`).
//
// The program inherits the container's stdout as descriptor 3, stderr as 4, and a pipe as 5 that it
// closes when it is ready; CONTAINER_ID and CONTAINER_NAMESPACE are in its environment. It ends by
// itself when both streams have ended.
// Basis: containerd runtime v2 README, "Logging" (binary).
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "host/stdio/endpoint.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::stdio {

class Logger {
 public:
  // Starts the program and waits until it says that it is ready.
  // Errors  kNotFound          no such program
  //         kDeadlineExceeded  it did not close descriptor 5 in time; it has been killed
  static Result<Logger> Start(const Uri& uri, const std::string& container_namespace,
                              const std::string& container_id, Deadline deadline);

  // Where the two streams go; non-blocking. Each can be taken once.
  sys::UniqueFd TakeStdout() { return std::move(stdout_); }
  sys::UniqueFd TakeStderr() { return std::move(stderr_); }
  int pid() const { return process_.pid(); }

  // After both streams were closed: waits for the program to end by itself, then insists.
  void Stop(Deadline::Clock::duration grace);

 private:
  Logger() = default;
  sys::ChildProcess process_;
  sys::UniqueFd stdout_;
  sys::UniqueFd stderr_;
};

}  // namespace kata::stdio
