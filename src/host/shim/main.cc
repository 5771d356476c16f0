// SPDX-License-Identifier: Apache-2.0
//
// containerd-shim-kata-v2: what containerd starts for a container of runtime io.containerd.kata.v2.
#include <unistd.h>

#include <csignal>
#include <span>

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include "host/shim/command_line.h"
#include "host/shim/daemon.h"
#include "host/shim/delete.h"
#include "host/shim/info.h"
#include "host/shim/layers_action.h"
#include "host/shim/start.h"
#include "host/shim/template_action.h"
#include "host/shim/warm_action.h"
#include "sys/fd.h"

namespace {

int Main(std::span<const char* const> arguments) {
  using kata::shim::Action;
  const auto line = kata::shim::ParseCommandLine(arguments.subspan(1));
  if (!line) {
    (void)kata::sys::WriteAll(STDERR_FILENO,
                              fmt::format("containerd-shim-kata-v2: {}\n", line.error().message()));
    return 1;
  }
  switch (line->action) {
    case Action::kStart:
      return kata::shim::RunStart(*line);
    case Action::kDelete:
      return kata::shim::RunDelete(*line);
    case Action::kTemplate:
      return kata::shim::RunTemplate(line->config);
    case Action::kLayers:
      return kata::shim::RunLayers(line->config);
    case Action::kWarm:
      return kata::shim::RunWarm(*line, arguments);
    case Action::kVersion:
      return kata::shim::RunVersion(arguments[0]);
    case Action::kInfo:
      return kata::shim::RunInfo();
    case Action::kHelp:
      return kata::sys::WriteAll(STDOUT_FILENO, kata::shim::UsageText()) ? 0 : 1;
    case Action::kDaemon:
      return kata::shim::RunDaemon(kata::shim::MakeDaemonArgs(*line));
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // A caller that went away is an error of write(2), not a silent end half-way.
  std::signal(SIGPIPE, SIG_IGN);
  // The library reports messages that do not parse on stderr, which containerd reads.
  google::protobuf::SetLogHandler(nullptr);
  return Main({argv, static_cast<size_t>(argc)});
}
