// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime start, pause, resume and delete.
#include <array>

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

Result<int> Pause(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::string status = KATA_TRY(StatusOf(state));
  if (status != "running" && status != "created") {
    return Fail(Code::kFailedPrecondition,
                fmt::format("container not running or created: {}", status));
  }
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::PauseRequest request;
  request.set_id(state.id);
  KATA_TRY(shim->Call<wellknown::Empty>("Pause", request));
  return 0;
}

Result<int> Resume(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  if (KATA_TRY(StatusOf(state)) != "paused") {
    return Fail(Code::kFailedPrecondition, "container not paused");
  }
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::ResumeRequest request;
  request.set_id(state.id);
  KATA_TRY(shim->Call<wellknown::Empty>("Resume", request));
  return 0;
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

const Command kStart{.name = "start",
                     .words = "CONTAINER",
                     .summary = "run the program of a created container",
                     .flags = {},
                     .min_words = 1,
                     .max_words = 1,
                     .run = Start};
const Command kPause{.name = "pause",
                     .words = "CONTAINER",
                     .summary = "suspend all processes of a container",
                     .flags = {},
                     .min_words = 1,
                     .max_words = 1,
                     .run = Pause};
const Command kResume{.name = "resume",
                      .words = "CONTAINER",
                      .summary = "resume the processes of a paused container",
                      .flags = {},
                      .min_words = 1,
                      .max_words = 1,
                      .run = Resume};
const Command kDelete{.name = "delete",
                      .words = "CONTAINER",
                      .summary = "delete a container and all that it holds",
                      .flags = kDeleteFlags,
                      .min_words = 1,
                      .max_words = 1,
                      .run = Delete};

}  // namespace kata::cli::oci
