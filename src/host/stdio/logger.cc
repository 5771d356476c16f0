// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/logger.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include <fmt/format.h>

namespace kata::stdio {

Result<Logger> Logger::Start(const Uri& uri, const std::string& container_namespace,
                             const std::string& container_id, Deadline deadline) {
  sys::Pipe out = KATA_TRY(sys::MakePipe());
  sys::Pipe err = KATA_TRY(sys::MakePipe());
  sys::Pipe ready = KATA_TRY(sys::MakePipe());
  const char* const path = ::getenv("PATH");
  sys::Command command{
      .argv = {uri.path},
      .env = std::vector<std::string>{"CONTAINER_ID=" + container_id,
                                      "CONTAINER_NAMESPACE=" + container_namespace,
                                      fmt::format("PATH={}", path ? path : "/usr/bin:/bin")},
      .fds = {{out.read.get(), 3}, {err.read.get(), 4}, {ready.write.get(), 5}},
      .new_process_group = true};
  command.argv.insert(command.argv.end(), uri.arguments.begin(), uri.arguments.end());

  Logger logger;
  logger.process_ = KATA_TRY_WITHIN("start the logging program", sys::ChildProcess::Spawn(command));
  ready.write.Reset();
  KATA_TRY_WITHIN(fmt::format("logging program \"{}\" does not get ready", uri.path),
                  sys::WaitFor(ready.read.get(), POLLIN, deadline));
  logger.stdout_ = std::move(out.write);
  logger.stderr_ = std::move(err.write);
  KATA_TRY(sys::SetNonBlocking(logger.stdout_.get()));
  KATA_TRY(sys::SetNonBlocking(logger.stderr_.get()));
  return logger;
}

void Logger::Stop(Deadline::Clock::duration grace) {
  stdout_.Reset();
  stderr_.Reset();
  if (!process_.valid() || process_.Wait(Deadline::After(grace))) return;
  (void)process_.Terminate(grace);
}

}  // namespace kata::stdio
