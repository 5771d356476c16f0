// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime checkpoint and restore.
#include <limits.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "host/cli/oci/criu_files.h"
#include "host/cli/oci/launch.h"
#include "host/cli/oci/shim.h"
#include "proto/shim.pb.h"
#include "proto/wellknown.pb.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

constexpr std::string_view kGivenAnyway = "given anyway: a machine is saved with all that it has";
constexpr std::string_view kNotOfMachines = "refused: a machine has nothing like it";

constexpr Flag kImagePath{"image-path", '\0', true,
                          "directory that names the snapshot (default: ./checkpoint)", "DIR"};
constexpr Flag kWorkPath{"work-path", '\0', true, "directory for statistics", "DIR"};
constexpr Flag kTcpEstablished{"tcp-established", '\0', false, kGivenAnyway};
constexpr Flag kExtUnixSk{"ext-unix-sk", '\0', false, kGivenAnyway};
constexpr Flag kShellJob{"shell-job", '\0', false, kGivenAnyway};
constexpr Flag kFileLocks{"file-locks", '\0', false, kGivenAnyway};
constexpr Flag kLinkRemap{"link-remap", '\0', false, kGivenAnyway};
constexpr Flag kManageCgroups{"manage-cgroups-mode", '\0', true, "without meaning here", "WORD"};
constexpr Flag kEmptyNs{"empty-ns", '\0', true, "without meaning here", "NAMESPACE"};
constexpr Flag kLazyPages{"lazy-pages", '\0', false, kNotOfMachines};
constexpr Flag kAutoDedup{"auto-dedup", '\0', false, kNotOfMachines};
constexpr Flag kTcpClose{"tcp-close", '\0', false, kNotOfMachines};

constexpr std::array kCheckpointFlags = {
    kImagePath,
    kWorkPath,
    Flag{"leave-running", '\0', false, "the container goes on; else it ends, and is deleted"},
    kTcpEstablished,
    kExtUnixSk,
    kShellJob,
    kFileLocks,
    kLinkRemap,
    Flag{"tcp-skip-in-flight", '\0', false, kGivenAnyway},
    kManageCgroups,
    kEmptyNs,
    Flag{"network-lock", '\0', true, "without meaning here", "METHOD"},
    kTcpClose,
    kLazyPages,
    kAutoDedup,
    Flag{"pre-dump", '\0', false, kNotOfMachines},
    Flag{"parent-path", '\0', true, kNotOfMachines, "DIR"},
    Flag{"page-server", '\0', true, kNotOfMachines, "ADDRESS"},
    Flag{"status-fd", '\0', true, kNotOfMachines, "N"},
};

// What restores with another SELinux label is not among them: by the words in which a runtime
// refuses that flag without a value, Podman decides that pods can be restored.
constexpr std::array kRestoreFlags = {
    kImagePath,
    kWorkPath,
    Flag{"bundle", 'b', true, "directory of the bundle (default: working directory)", "DIR"},
    Flag{"console-socket", '\0', true, "unix socket that receives the terminal's master", "FILE"},
    Flag{"pid-file", '\0', true, "file to write the process id to", "FILE"},
    Flag{"detach", 'd', false, "do not wait for the container's end"},
    kTcpEstablished,
    kExtUnixSk,
    kShellJob,
    kFileLocks,
    kLinkRemap,
    kManageCgroups,
    kEmptyNs,
    Flag{"no-subreaper", '\0', false, "without meaning here"},
    Flag{"no-pivot", '\0', false, "without meaning here"},
    Flag{"lsm-profile", '\0', true, "without meaning here", "PROFILE"},
    kTcpClose,
    kLazyPages,
    kAutoDedup,
};

Result<void> RefuseSome(const Arguments& arguments, std::span<const Flag> flags) {
  for (const Flag& flag : flags) {
    const bool given = flag.takes_value ? arguments.Has(flag.name) : arguments.On(flag.name);
    if (!given || flag.help != kNotOfMachines) continue;
    return Fail(Code::kUnimplemented,
                fmt::format("--{}: a machine is saved whole and at once; leave it out", flag.name));
  }
  return {};
}

Result<std::string> Absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char directory[PATH_MAX];
  if (::realpath(".", directory) == nullptr) return FailErrno("getcwd");
  return fmt::format("{}/{}", directory, path);
}

Result<std::string> ImagePath(const Arguments& arguments) {
  return Absolute(arguments.Get("image-path", "checkpoint"));
}

Result<void> Save(const State& state, const std::string& directory, bool leave_running) {
  kata::shim::CheckpointOptions options;
  options.set_exit(!leave_running);
  task::CheckpointTaskRequest request;
  request.set_id(state.id);
  request.set_path(directory);
  request.mutable_options()->set_type_url("containerd.runc.v1.CheckpointOptions");
  request.mutable_options()->set_value(options.SerializeAsString());
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  KATA_TRY(shim->Call<wellknown::Empty>("Checkpoint", request));
  return {};
}

Result<int> Checkpoint(const Globals& globals, const Arguments& arguments) {
  KATA_TRY(RefuseSome(arguments, kCheckpointFlags));
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string status = KATA_TRY(StatusOf(state));
  if (status == "created" || status == "stopped") {
    return Fail(Code::kFailedPrecondition,
                fmt::format("Container cannot be checkpointed in {} state", status));
  }
  const std::string images = KATA_TRY(ImagePath(arguments));
  const std::string work = KATA_TRY(Absolute(arguments.Get("work-path", images)));
  const bool leave_running = arguments.On("leave-running");
  const auto began = std::chrono::steady_clock::now();
  KATA_TRY(Save(state, images, leave_running));
  constexpr mode_t kMode = 0700;
  KATA_TRY(sys::MakeDirs(work, kMode));
  KATA_TRY(WriteCriuFiles(images, work,
                          std::chrono::duration_cast<std::chrono::microseconds>(
                              std::chrono::steady_clock::now() - began)));
  if (!leave_running) KATA_TRY(RemoveContainer(globals, state));
  return 0;
}

Result<int> Restore(const Globals& globals, const Arguments& arguments) {
  KATA_TRY(RefuseSome(arguments, kRestoreFlags));
  const LaunchRequest request{.id = arguments.words().front(),
                              .bundle = arguments.Get("bundle"),
                              .console_socket = arguments.Get("console-socket"),
                              .pidfd_socket = {},
                              .pid_file = arguments.Get("pid-file"),
                              .detach = arguments.On("detach"),
                              .checkpoint = KATA_TRY(ImagePath(arguments))};
  return LaunchAndStart(globals, request, false);
}

}  // namespace

const Command kCheckpoint{
    .name = "checkpoint",
    .summary = "save a running container",
    .examples =
        "  kata-runtime checkpoint --image-path DIR web                  save it, and end it\n"
        "  kata-runtime checkpoint --leave-running --image-path DIR web  it goes on\n",
    .flags = kCheckpointFlags,
    .run = Checkpoint};
const Command kRestore{
    .name = "restore",
    .summary = "go on with a container from a checkpoint",
    .examples = "  kata-runtime restore -d -b BUNDLE --image-path DIR web  where it was saved\n",
    .flags = kRestoreFlags,
    .run = Restore};

}  // namespace kata::cli::oci
