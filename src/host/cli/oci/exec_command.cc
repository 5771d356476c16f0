// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime exec. In the foreground this process is its own stand-in.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/cli/oci/command.h"
#include "host/cli/oci/exec_process.h"
#include "host/cli/oci/launch.h"
#include "host/cli/oci/pidfd_socket.h"
#include "host/cli/oci/shim.h"
#include "host/cli/oci/stand_in.h"
#include "host/cli/oci/terminal.h"
#include "host/stdio/stand_in_channel.h"
#include "oci/runtime_error.h"
#include "proto/wellknown.pb.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kExecFlags = {
    Flag{"console-socket", '\0', true, "unix socket that receives the terminal's master", "FILE"},
    Flag{"cwd", '\0', true, "working directory in the container", "PATH"},
    Flag{"env", 'e', true, "one more variable; may be repeated", "NAME=VALUE"},
    Flag{"tty", 't', false, "give the process a terminal"},
    Flag{"user", 'u', true, "whom to run as", "UID[:GID]"},
    Flag{"additional-gids", 'g', true, "supplementary group; may be repeated", "GID"},
    Flag{"process", 'p', true, "file with the process as JSON", "FILE"},
    Flag{"detach", 'd', false, "do not wait for the process's end"},
    Flag{"pidfd-socket", '\0', true, "unix socket that receives a pidfd of the process on the host",
         "FILE"},
    Flag{"pid-file", '\0', true, "file to write the process id to", "FILE"},
    Flag{"process-label", '\0', true, "SELinux label; without meaning in the guest", "LABEL"},
    Flag{"apparmor", '\0', true, "AppArmor profile; without meaning in the guest", "PROFILE"},
    Flag{"no-new-privs", '\0', false, "set the no_new_privs bit"},
    Flag{"cap", 'c', true, "capability to add; may be repeated", "CAPABILITY"},
    Flag{"preserve-fds", '\0', true, "without meaning here", "N"},
    Flag{"cgroup", '\0', true, "cgroup to run in, a path below the container's own", "PATH"},
    Flag{"ignore-paused", '\0', false, "wait until a paused container is resumed"},
};

std::string NewExecId() {
  std::random_device random;
  return fmt::format("exec-{:08x}{:08x}", random(), random());
}

// Where in the container's cgroup the process is to be: "/" is the container's own, which is not
// the same as nothing said (then the one of the first process serves where its own may hold none).
Result<std::string> ReadCgroup(const Arguments& arguments) {
  const std::vector<std::string> all = arguments.All("cgroup");
  if (all.empty()) return "";
  // In front of a colon are controllers, which have trees of their own in version 1 only.
  const size_t colon = all.back().find(':');
  if (all.size() > 1 || colon != std::string::npos) {
    return Fail(Code::kInvalidArgument,
                fmt::format("unknown controller {}: cgroups in the guest are of version 2, whose "
                            "controllers have one tree",
                            all.back().substr(0, std::min(colon, all.back().size()))));
  }
  return all.back().empty() ? "/" : all.back();
}

Result<void> CheckRunning(const State& state, bool ignore_paused) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  for (;; std::this_thread::sleep_for(kPause)) {
    const std::string status = KATA_TRY(StatusOf(state));
    if (status == "stopped") {
      return Fail(Code::kFailedPrecondition, "cannot exec in a stopped container");
    }
    if (status != "paused") return {};
    if (!ignore_paused) {
      return Fail(Code::kFailedPrecondition,
                  "cannot exec in a paused container (use --ignore-paused to override)");
    }
    // A process in there would not begin before the container is resumed.
  }
}

struct ExecRequest {
  const Globals& globals;
  const Arguments& arguments;
  const State& state;
  const ExecProcess& process;
  std::string cgroup;
  std::string exec_id;
  std::string socket;
  std::string stand_in;  // as its streams are named to the shim
};

std::unexpected<Error> Failed(Error error) {
  return std::unexpected(::kata::oci::WithoutShimWords(::kata::oci::Step::kExec, std::move(error)));
}

// Makes the process and starts it; on failure the shim forgets it.
Result<void> StartInShim(const ExecRequest& request) {
  const State& state = request.state;
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::ExecProcessRequest exec;
  exec.set_id(state.id);
  exec.set_exec_id(request.exec_id);
  exec.set_terminal(request.process.terminal);
  exec.set_stdin(request.stand_in);
  exec.set_stdout(request.stand_in);
  exec.set_stderr(request.stand_in);
  exec.mutable_spec()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/Process");
  exec.mutable_spec()->set_value(request.process.json);
  exec.set_cgroup(request.cgroup);
  if (auto made = shim->Call<wellknown::Empty>("Exec", exec); !made) {
    return Failed(std::move(made).error());
  }
  Debug(request.globals, "nsexec container setup in the guest");
  task::StartRequest start;
  start.set_id(state.id);
  start.set_exec_id(request.exec_id);
  auto started = shim->Call<task::StartResponse>("Start", start);
  if (started) {
    Debug(request.globals, "child process in init()");
    Debug(request.globals, "setns_init: about to exec");
    return {};
  }
  task::DeleteRequest forget;
  forget.set_id(state.id);
  forget.set_exec_id(request.exec_id);
  (void)shim->Call<task::DeleteResponse>("Delete", forget);
  return Failed(std::move(started).error());
}

Result<int> ExecDetached(const ExecRequest& request) {
  StandInRequest stand_in{.root = request.globals.root,
                          .id = request.state.id,
                          .is_exec = true,
                          .terminal = request.process.terminal};
  sys::UniqueFd console;
  if (const std::string path = request.arguments.Get("console-socket"); !path.empty()) {
    console = KATA_TRY(OpenConsole(path, request.process.rows, request.process.columns));
    for (int& stream : stand_in.streams) stream = console.get();
    stand_in.own_terminal = true;
  }
  StandIn child = KATA_TRY(StandIn::Start(stand_in, request.socket));
  console.Reset();
  KATA_TRY(StartInShim(request));
  if (const std::string file = request.arguments.Get("pid-file"); !file.empty()) {
    KATA_TRY(WritePidFile(file, child.pid()));
  }
  KATA_TRY(SendPidFd(request.arguments.Get("pidfd-socket"), child.pid()));
  KATA_TRY(child.Release());
  child.Leave();
  return 0;
}

Result<int> ExecInForeground(const ExecRequest& request) {
  BlockForwardedSignals();
  const bool terminal = request.process.terminal;
  const sys::UniqueFd listener = KATA_TRY(sys::ListenUnix(request.socket, 0600, 1));
  sys::Pipe cancel = KATA_TRY(sys::MakePipe());
  constexpr int kStreams[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  Result<sys::UniqueFd> connection = Fail(Code::kCancelled, "");
  std::thread handover([&] {
    connection = HandOver(listener.get(), std::span(kStreams, terminal ? 2 : 3), cancel.read.get());
  });
  std::optional<RawMode> raw;
  if (terminal) raw.emplace(STDIN_FILENO);
  auto started = StartInShim(request);
  cancel.write.Reset();
  handover.join();
  if (!started) return std::unexpected(std::move(started).error());
  if (!connection) return std::unexpected(std::move(connection).error());
  (void)sys::RemoveFile(request.socket);
  if (const std::string file = request.arguments.Get("pid-file"); !file.empty()) {
    KATA_TRY(WritePidFile(file, ::getpid()));
  }
  KATA_TRY(SendPidFd(request.arguments.Get("pidfd-socket"), ::getpid()));
  return Attend(*std::move(connection), terminal ? STDIN_FILENO : -1);
}

Result<int> RunExec(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const ExecProcess process =
      KATA_TRY(ReadExecProcess(StatePath(globals.root, state.id), arguments));
  const std::string cgroup = KATA_TRY(ReadCgroup(arguments));
  const bool detach = arguments.On("detach");
  KATA_TRY(CheckTerminal(process.terminal, detach, arguments.Get("console-socket")));
  KATA_TRY(CheckRunning(state, arguments.On("ignore-paused")));
  for (const std::string& note : process.notes) Warn(globals, note);
  ExecRequest request{.globals = globals,
                      .arguments = arguments,
                      .state = state,
                      .process = process,
                      .cgroup = cgroup,
                      .exec_id = NewExecId(),
                      .socket = {},
                      .stand_in = {}};
  request.socket = fmt::format("{}/{}.sock", StatePath(globals.root, state.id), request.exec_id);
  request.stand_in = fmt::format("{}{}", stdio::kStandInScheme, request.socket);
  Rollback cleanup;
  cleanup.Add([&] { (void)sys::RemoveFile(request.socket); });
  return detach ? ExecDetached(request) : ExecInForeground(request);
}

Result<int> Exec(const Globals& globals, const Arguments& arguments) {
  if (!arguments.Has("process") && arguments.words().size() < 2) {
    return Fail(Code::kInvalidArgument, "process args cannot be empty");
  }
  auto status = RunExec(globals, arguments);
  if (status || status.error().code() == Code::kNotFound) {
    if (status || status.error().message() == "container does not exist") return status;
  }
  return std::unexpected(std::move(status).error().Within("exec failed"));
}

}  // namespace

const Command kExec{
    .name = "exec",
    .words = "CONTAINER COMMAND [ARGUMENT...] | --process FILE CONTAINER",
    .summary = "run one more process in a container",
    .examples =
        "  kata-runtime exec web ps                             one command\n"
        "  kata-runtime exec -t web sh                          a shell on this terminal\n"
        "  kata-runtime exec --user 1000:1000 --env A=1 web id  as somebody else\n",
    .flags = kExecFlags,
    .max_words = SIZE_MAX,
    .only_leading_flags = true,
    .error_status = 255,
    .run = Exec};

}  // namespace kata::cli::oci
