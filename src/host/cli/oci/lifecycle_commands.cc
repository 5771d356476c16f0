// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime start, pause, resume and delete.
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "host/cli/oci/launch.h"
#include "host/cli/oci/shim.h"
#include "proto/wellknown.pb.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kDeleteFlags = {
    Flag{"force", 'f', false, "end a container that still runs; one that is gone is no error"},
};

Result<int> Start(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string status = KATA_TRY(StatusOf(state));
  if (status == "stopped") {
    return Fail(Code::kFailedPrecondition, "cannot start a container that has stopped");
  }
  if (status == "running") {
    return Fail(Code::kFailedPrecondition, "cannot start an already running container");
  }
  if (status != "created") {
    return Fail(Code::kFailedPrecondition,
                fmt::format("cannot start a container in the {} state", status));
  }
  KATA_TRY(StartContainer(state));
  return 0;
}

template <class Request>
Result<int> Ask(const State& state, std::string_view method) {
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  Request request;
  request.set_id(state.id);
  KATA_TRY(shim->Call<wellknown::Empty>(method, request));
  return 0;
}

Result<int> Pause(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string status = KATA_TRY(StatusOf(state));
  if (status != "running" && status != "created") {
    return Fail(Code::kFailedPrecondition,
                fmt::format("container not running or created: {}", status));
  }
  return Ask<task::PauseRequest>(state, "Pause");
}

Result<int> Resume(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  if (KATA_TRY(StatusOf(state)) != "paused") {
    return Fail(Code::kFailedPrecondition, "container not paused");
  }
  return Ask<task::ResumeRequest>(state, "Resume");
}

Result<void> DeleteLocked(const Globals& globals, const std::string& id, bool force) {
  StateDir dir = KATA_TRY(StateDir::Lock(globals.root, id));
  auto state = LoadState(globals.root, id);
  if (!state) {
    // What a killed `create` left, or a record that cannot be read.
    if (state.error().code() != Code::kNotFound && !force) return std::unexpected(state.error());
    KATA_TRY(CleanUpAfterShim(globals, id, dir.path()));
    KATA_TRY(dir.Remove());
    return std::unexpected(state.error());
  }
  if (!force) {
    const std::string status = KATA_TRY(StatusOf(*state));
    if (status != "stopped" && status != "created") {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("cannot delete container {} that is not stopped: {}", id, status));
    }
  }
  return DestroyContainer(globals, dir, *state);
}

Result<int> Delete(const Globals& globals, const Arguments& arguments) {
  const bool force = arguments.On("force");
  const auto deleted = DeleteLocked(globals, arguments.words().front(), force);
  if (deleted || (force && deleted.error().code() == Code::kNotFound)) return 0;
  return std::unexpected(deleted.error());
}

}  // namespace

const Command kStart{
    .name = "start", .summary = "run the program of a created container", .run = Start};
const Command kPause{
    .name = "pause", .summary = "suspend all processes of a container", .run = Pause};
const Command kResume{
    .name = "resume", .summary = "resume the processes of a paused container", .run = Resume};
const Command kDelete{.name = "delete",
                      .summary = "delete a container and all that it holds",
                      .flags = kDeleteFlags,
                      .run = Delete};

}  // namespace kata::cli::oci
