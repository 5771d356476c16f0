// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime create and run.
#include <unistd.h>

#include <array>
#include <optional>

#include "host/cli/oci/command.h"
#include "host/cli/oci/launch.h"
#include "host/cli/oci/terminal.h"

namespace kata::cli::oci {
namespace {

constexpr Flag kBundle{"bundle", 'b', true, "directory of the bundle (default: working directory)",
                       "DIR"};
constexpr Flag kConsoleSocket{"console-socket", '\0', true,
                              "unix socket that receives the terminal's master", "FILE"};
constexpr Flag kPidFile{"pid-file", '\0', true, "file to write the process id to", "FILE"};
constexpr Flag kNoPivot{"no-pivot", '\0', false, "without meaning here"};
constexpr Flag kNoNewKeyring{"no-new-keyring", '\0', false, "without meaning here"};
constexpr Flag kPreserveFds{"preserve-fds", '\0', true,
                            "without meaning here: a descriptor cannot enter a virtual machine",
                            "N"};

constexpr std::array kCreateFlags = {kBundle,  kConsoleSocket, kPidFile,
                                     kNoPivot, kNoNewKeyring,  kPreserveFds};
constexpr std::array kRunFlags = {
    kBundle,
    kConsoleSocket,
    kPidFile,
    kNoPivot,
    kNoNewKeyring,
    kPreserveFds,
    Flag{"detach", 'd', false, "do not wait for the container's end"},
    Flag{"keep", '\0', false, "do not delete the container when it has ended"},
    Flag{"no-subreaper", '\0', false, "without meaning here"},
};

LaunchRequest ReadRequest(const Globals& globals, const Arguments& arguments) {
  if (const std::string count = arguments.Get("preserve-fds", "0"); count != "0") {
    Warn(globals, "--preserve-fds: descriptors cannot be passed into a virtual machine");
  }
  return {.id = arguments.words().front(),
          .bundle = arguments.Get("bundle"),
          .console_socket = arguments.Get("console-socket"),
          .pid_file = arguments.Get("pid-file")};
}

// Tools look for these words (oci/runtime_error.h), whatever the program is called.
Result<int> Create(const Globals& globals, const Arguments& arguments) {
  Launched launched =
      KATA_TRY_WITHIN("runc create failed", Launch(globals, ReadRequest(globals, arguments)));
  launched.stand_in.Leave();
  return 0;
}

Result<void> Destroy(const Globals& globals, const State& state) {
  auto dir = StateDir::Lock(globals.root, state.id);
  // Somebody else has deleted it.
  if (!dir && dir.error().code() == Code::kNotFound) return {};
  if (!dir) return std::unexpected(dir.error());
  return DestroyContainer(globals, *dir, state);
}

Result<int> RunContainer(const Globals& globals, const Arguments& arguments) {
  LaunchRequest request = ReadRequest(globals, arguments);
  request.detach = arguments.On("detach");
  Launched launched = KATA_TRY(Launch(globals, request));
  // The host's stand-in shares the caller's terminal.
  std::optional<RawMode> raw;
  if (launched.terminal && !request.detach) raw.emplace(STDIN_FILENO);
  if (auto started = StartContainer(globals, launched.state); !started) {
    raw.reset();
    (void)Destroy(globals, launched.state);
    return std::unexpected(std::move(started).error());
  }
  if (request.detach) {
    launched.stand_in.Leave();
    return 0;
  }
  const int status = KATA_TRY(launched.stand_in.WaitForEnd());
  raw.reset();
  if (!arguments.On("keep")) KATA_TRY(Destroy(globals, launched.state));
  return status;
}

Result<int> Run(const Globals& globals, const Arguments& arguments) {
  return KATA_TRY_WITHIN("runc run failed", RunContainer(globals, arguments));
}

}  // namespace

const Command kCreate{
    .name = "create",
    .summary = "create a container",
    .examples =
        "  kata-runtime create --bundle web web               the container of the bundle in "
        "./web\n"
        "  kata-runtime create -b web --pid-file web.pid web  with the process id in a file\n",
    .flags = kCreateFlags,
    .run = Create};
const Command kRun{.name = "run",
                   .summary = "create and run a container",
                   .examples =
                       "  kata-runtime run --bundle web web  in the foreground\n"
                       "  kata-runtime run -d -b web web     and leave it running\n",
                   .flags = kRunFlags,
                   .run = Run};

}  // namespace kata::cli::oci
