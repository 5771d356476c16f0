// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime start, pause, resume and delete.
#include <array>
#include <regex>
#include <string>
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
    Flag{"regex", '\0', false, "CONTAINER is an extended regular expression: all that match"},
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
  KATA_TRY(StartContainer(globals, state));
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

// As crun has it.
Result<int> DeleteMatching(const Globals& globals, const std::string& expression, bool force) {
  std::regex matcher;
  try {
    matcher.assign(expression, std::regex::extended);
  } catch (const std::regex_error& error) {
    return Fail(Code::kInvalidArgument,
                fmt::format("invalid regular expression \"{}\": {}", expression, error.what()));
  }
  Result<int> outcome = 0;
  for (const State& state : ListStates(globals.root)) {
    if (!std::regex_search(state.id, matcher)) continue;
    const auto deleted = DeleteLocked(globals, state.id, force);
    if (!deleted && deleted.error().code() != Code::kNotFound && outcome) {
      outcome = std::unexpected(deleted.error().Within(state.id));
    }
  }
  return outcome;
}

Result<int> Delete(const Globals& globals, const Arguments& arguments) {
  if (arguments.On("regex")) {
    return DeleteMatching(globals, arguments.words().front(), arguments.On("force"));
  }
  const bool force = arguments.On("force");
  const auto deleted = DeleteLocked(globals, arguments.words().front(), force);
  if (deleted || (force && deleted.error().code() == Code::kNotFound)) return 0;
  return std::unexpected(deleted.error());
}

}  // namespace

const Command kStart{.name = "start",
                     .summary = "run the program of a created container",
                     .examples = "  kata-runtime start web  what create has made\n",
                     .run = Start};
const Command kPause{.name = "pause",
                     .summary = "suspend all processes of a container",
                     .examples = "  kata-runtime pause web  until it is resumed\n",
                     .run = Pause};
const Command kResume{.name = "resume",
                      .summary = "resume the processes of a paused container",
                      .examples = "  kata-runtime resume web  go on\n",
                      .run = Resume};
const Command kDelete{.name = "delete",
                      .summary = "delete a container and all that it holds",
                      .examples =
                          "  kata-runtime delete web          one that has ended\n"
                          "  kata-runtime delete --force web  whatever it does\n",
                      .flags = kDeleteFlags,
                      .run = Delete};

}  // namespace kata::cli::oci
