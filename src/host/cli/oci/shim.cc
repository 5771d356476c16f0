// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/shim.h"

#include <limits.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "proto/wellknown.pb.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "sys/program.h"
#include "sys/sockets.h"

extern char** environ;

namespace kata::cli::oci {
namespace {

using std::chrono::seconds;

constexpr char kShimProgram[] = "containerd-shim-kata-v2";
constexpr char kNamespace[] = "kata-runtime";
constexpr std::string_view kUnixScheme = "unix://";
constexpr auto kConnectTime = seconds(5);
constexpr auto kActionTime = seconds(30);

std::vector<std::string> ShimEnvironment(const Globals& globals) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const bool drop = text.starts_with("TTRPC_ADDRESS=") || text.starts_with("MAX_SHIM_VERSION=") ||
                      (!globals.config.empty() && text.starts_with("KATA_CONF_FILE="));
    if (!drop) environment.emplace_back(text);
  }
  if (!globals.config.empty()) environment.push_back("KATA_CONF_FILE=" + globals.config);
  return environment;
}

Result<std::string> RunAction(const Globals& globals, const std::string& id,
                              const std::string& directory, const char* action) {
  sys::Command command;
  command.argv = {KATA_TRY(sys::FindNeighbour(kShimProgram)),
                  "-namespace",
                  kNamespace,
                  "-id",
                  id,
                  "-address",
                  globals.root,
                  "-bundle",
                  directory,
                  "-publish-binary",
                  ""};
  if (globals.debug) command.argv.push_back("-debug");
  command.argv.push_back(action);
  command.env = ShimEnvironment(globals);
  command.cwd = directory;
  const sys::CommandOutput done =
      KATA_TRY(sys::RunAndCollect(std::move(command), Deadline::After(kActionTime)));
  if (done.status.Success()) return done.output;
  std::string_view said = done.output;
  while (said.ends_with('\n')) said.remove_suffix(1);
  return Fail(Code::kInternal,
              said.empty() ? fmt::format("{} {}: {}", kShimProgram, action, done.status.Describe())
                           : std::string(said));
}

}  // namespace

Result<std::string> StartShim(const Globals& globals, const std::string& id,
                              const std::string& directory) {
  const std::string answer = KATA_TRY(RunAction(globals, id, directory, "start"));
  if (!answer.starts_with(kUnixScheme)) {
    return Fail(Code::kInternal, fmt::format("the shim's address is no socket: {}", answer));
  }
  return answer.substr(kUnixScheme.size());
}

Result<void> CleanUpAfterShim(const Globals& globals, const std::string& id,
                              const std::string& directory) {
  KATA_TRY(RunAction(globals, id, directory, "delete"));
  return {};
}

Result<std::unique_ptr<Shim>> Shim::Connect(const std::string& socket) {
  std::unique_ptr<Shim> shim(new Shim);
  shim->loop_ = KATA_TRY(sys::EventLoop::Create());
  sys::UniqueFd stream = KATA_TRY(sys::ConnectUnix(socket, Deadline::After(kConnectTime)));
  shim->client_ = KATA_TRY(ttrpc::Client::Create(*shim->loop_, std::move(stream)));
  shim->thread_ = std::thread([loop = shim->loop_.get()] { (void)loop->Run(); });
  return shim;
}

Shim::~Shim() {
  client_.reset();
  if (loop_) loop_->Stop();
  if (thread_.joinable()) thread_.join();
}

Result<task::StateResponse> Shim::State(const std::string& id) {
  task::StateRequest request;
  request.set_id(id);
  return Call<task::StateResponse>("State", request, Deadline::After(seconds(10)));
}

Result<void> Shim::Kill(const std::string& id, uint32_t signal, bool all) {
  task::KillRequest request;
  request.set_id(id);
  request.set_signal(signal);
  request.set_all(all);
  KATA_TRY(Call<wellknown::Empty>("Kill", request));
  return {};
}

Result<uint32_t> Shim::Wait(const std::string& id, Deadline deadline) {
  task::WaitRequest request;
  request.set_id(id);
  return KATA_TRY(Call<task::WaitResponse>("Wait", request, deadline)).exit_status();
}

Result<void> Shim::Shutdown(const std::string& id, Deadline deadline) {
  task::ShutdownRequest request;
  request.set_id(id);
  KATA_TRY(Call<wellknown::Empty>("Shutdown", request, deadline));
  return {};
}

bool ShimIsGone(const Error& error) {
  return error.code() == Code::kNotFound || error.code() == Code::kUnavailable;
}

Result<std::string> StatusOf(const State& state) {
  const auto shim = Shim::Connect(state.shim);
  if (!shim) {
    if (ShimIsGone(shim.error())) return "stopped";
    return std::unexpected(shim.error());
  }
  const auto view = (*shim)->State(state.id);
  if (!view) {
    if (ShimIsGone(view.error())) return "stopped";
    return std::unexpected(view.error());
  }
  switch (view->status()) {
    case task::CREATED:
      return "created";
    case task::RUNNING:
      return "running";
    case task::PAUSED:
    case task::PAUSING:
      return "paused";
    default:
      return "stopped";
  }
}

}  // namespace kata::cli::oci
