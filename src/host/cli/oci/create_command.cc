// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime create and run.
#include <array>

#include "host/cli/oci/command.h"
#include "host/cli/oci/launch.h"

namespace kata::cli::oci {
namespace {

constexpr Flag kBundle{"bundle", 'b', true, "directory of the bundle (default: working directory)",
                       "DIR"};
constexpr Flag kConsoleSocket{"console-socket", '\0', true,
                              "unix socket that receives the terminal's master", "FILE"};
constexpr Flag kPidfdSocket{"pidfd-socket", '\0', true,
                            "unix socket that receives a pidfd of the process on the host", "FILE"};
constexpr Flag kPidFile{"pid-file", '\0', true, "file to write the process id to", "FILE"};
constexpr Flag kNoPivot{"no-pivot", '\0', false, "without meaning here"};
constexpr Flag kNoNewKeyring{"no-new-keyring", '\0', false, "without meaning here"};
constexpr Flag kPreserveFds{"preserve-fds", '\0', true,
                            "without meaning here: a descriptor cannot enter a virtual machine",
                            "N"};

constexpr std::array kCreateFlags = {kBundle,  kConsoleSocket, kPidfdSocket, kPidFile,
                                     kNoPivot, kNoNewKeyring,  kPreserveFds};
constexpr std::array kRunFlags = {
    kBundle,
    kConsoleSocket,
    kPidfdSocket,
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
          .pidfd_socket = arguments.Get("pidfd-socket"),
          .pid_file = arguments.Get("pid-file"),
          .checkpoint = {}};
}

// Tools look for these words (oci/runtime_error.h), whatever the program is called.
Result<int> Create(const Globals& globals, const Arguments& arguments) {
  Launched launched =
      KATA_TRY_WITHIN("runc create failed", Launch(globals, ReadRequest(globals, arguments)));
  launched.stand_in.Leave();
  return 0;
}

Result<int> Run(const Globals& globals, const Arguments& arguments) {
  LaunchRequest request = ReadRequest(globals, arguments);
  request.detach = arguments.On("detach");
  return KATA_TRY_WITHIN("runc run failed", LaunchAndStart(globals, request, arguments.On("keep")));
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
