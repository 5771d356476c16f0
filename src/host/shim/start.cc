// SPDX-License-Identifier: Apache-2.0
#include "host/shim/start.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/config/load.h"
#include "host/shim/address.h"
#include "host/shim/bootstrap.h"
#include "host/shim/bundle.h"
#include "host/warm/protocol.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/program.h"
#include "sys/sockets.h"

extern char** environ;

namespace kata::shim {
namespace {

using namespace std::chrono_literals;

constexpr int kDaemonListenFd = 3;
constexpr size_t kMaxInput = 4 << 20;
constexpr auto kInputPatience = 2s;
constexpr int kBacklog = 128;
constexpr auto kTakePatience = 2s;

std::string GetEnv(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr ? value : "";
}

// The flags, with what BootstrapParams says where a flag is missing.
struct Plan {
  CommandLine line;
  std::string ttrpc_address;
  std::string bundle;
  std::string socket_dir = kDefaultSocketDir;
  oci::PodRole role;
  std::string sandbox_id;
  std::string config_path;  // of the runtime options, where containerd tells them here already
  bool has_params = false;
};

Result<Plan> MakePlan(const CommandLine& line, const std::string& input) {
  Plan plan;
  plan.line = line;
  plan.ttrpc_address = GetEnv("TTRPC_ADDRESS");
  const StartInput start_input = KATA_TRY(ParseStartInput(input, line.id));
  if (const auto& params = start_input.params) {
    plan.has_params = true;
    if (plan.line.address.empty()) plan.line.address = params->containerd_grpc_address();
    if (plan.ttrpc_address.empty()) plan.ttrpc_address = params->containerd_ttrpc_address();
    if (plan.line.publish_binary.empty()) plan.line.publish_binary = params->containerd_binary();
    if (params->log_level() <= LOG_LEVEL_DEBUG) plan.line.debug = true;
    if (!params->socket_dir().empty()) plan.socket_dir = params->socket_dir();
  }
  plan.config_path = ConfigPathOf(start_input);
  plan.bundle = KATA_TRY(ResolveBundle(line.bundle));
  if (auto role = ReadPodRole(plan.bundle)) {
    plan.role = *std::move(role);
  } else if (role.error().code() != Code::kNotFound || !sys::Exists(plan.bundle)) {
    // containerd writes no config.json for a pod of the sandbox API.
    return std::unexpected(std::move(role).error());
  }
  plan.sandbox_id = SandboxIdOf(plan.role, line.id);
  return plan;
}

// Held from the look at an old socket until the new one listens: of two starts for one pod, one
// makes the daemon and the other finds it. Nothing that happens under the lock can wait.
Result<sys::UniqueFd> LockDirectory(const std::string& directory) {
  sys::UniqueFd lock = KATA_TRY(sys::Open(directory, O_RDONLY | O_DIRECTORY));
  if (sys::RetryOnEintr([&] { return ::flock(lock.get(), LOCK_EX); }) != 0) {
    return FailErrno("lock", directory);
  }
  return lock;
}

bool SomebodyListens(const std::string& socket_path) {
  const auto connection = sys::ConnectUnix(socket_path, Deadline::After(0s));
  // A full backlog is a daemon that is busy.
  return connection || connection.error().code() == Code::kDeadlineExceeded;
}

// A new listening socket at `path`, or none when a daemon listens there.
Result<std::optional<sys::UniqueFd>> ListenUnlessServed(const std::string& path) {
  for (const bool last_try : {false, true}) {
    auto listener = sys::ListenUnix(path, 0600, kBacklog);
    if (listener) return std::optional(*std::move(listener));
    if (listener.error().code() != Code::kAlreadyExists || last_try) {
      return std::unexpected(std::move(listener).error());
    }
    if (SomebodyListens(path)) return std::nullopt;
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
      return Fail(Code::kAlreadyExists, fmt::format("listen on \"{}\": not a socket", path));
    }
    KATA_TRY(sys::RemoveFile(path));
  }
  return std::nullopt;
}

std::optional<int> ReadOomScore(const std::string& process) {
  const auto text = sys::ReadFile(fmt::format("/proc/{}/oom_score_adj", process), 64);
  int score = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), score).ec != std::errc())
    return std::nullopt;
  return score;
}

// One above containerd's, as its own shims have it: the kernel rather ends a shim than containerd.
// Never below our own, which would need a capability.
std::optional<int> DaemonOomScore() {
  const auto parent = ReadOomScore(std::to_string(::getppid()));
  const auto own = ReadOomScore("self");
  if (!parent || !own) return std::nullopt;
  const int score = std::min(*parent + 1, 1000);
  return score > *own ? std::optional(score) : std::nullopt;
}

// A cookie of our own, which the daemon and the VM inherit: their threads never share a core with
// those of other sandboxes.
Result<void> CreateSchedulingCookie() {
  if (::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0) != 0) {
    return FailErrno("core scheduling (SCHED_CORE is set): prctl");
  }
  return {};
}

std::vector<std::string> DaemonEnvironment(const Plan& plan) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("TTRPC_ADDRESS=")) environment.emplace_back(*entry);
  }
  environment.push_back("TTRPC_ADDRESS=" + plan.ttrpc_address);
  return environment;
}

sys::Command DaemonCommand(const Plan& plan, const std::string& socket_path, int listener) {
  sys::Command command;
  command.executable = sys::OwnProgram();
  command.argv = {command.executable,
                  "-namespace",
                  plan.line.namespace_name,
                  "-id",
                  plan.sandbox_id,
                  "-address",
                  plan.line.address,
                  "-publish-binary",
                  plan.line.publish_binary,
                  "-bundle",
                  plan.bundle,
                  "-socket",
                  socket_path,
                  "-listen-fd",
                  std::to_string(kDaemonListenFd)};
  if (!plan.config_path.empty()) {
    command.argv.insert(command.argv.end(), {"-config", plan.config_path});
  }
  if (plan.line.debug) command.argv.push_back("-debug");
  command.env = DaemonEnvironment(plan);
  command.cwd = plan.bundle;
  command.fds = {{listener, kDaemonListenFd}};
  command.new_session = true;
  command.oom_score_adj = DaemonOomScore();
  return command;
}

// A shim of the service kata-factory that becomes this daemon; none where there is no service,
// none is ready, or it could not be the same.
std::optional<pid_t> TakeWarmDaemon(const sys::Command& command, const std::string& config_path,
                                    int listener) {
  // Its threads have been on all cores already.
  if (!GetEnv("SCHED_CORE").empty()) return std::nullopt;
  const auto config = config::Load(config::LoadOptions::OfThisProcess(config_path));
  if (!config || config->config.factory.vm_cache_number == 0) return std::nullopt;
  const std::string& endpoint = config->config.factory.vm_cache_endpoint;
  if (!sys::Exists(endpoint)) return std::nullopt;
  // Who names no configuration has the same as the service as a rule, and is not kept waiting.
  if (!config_path.empty()) {
    const auto served = warm::ConfigOf(endpoint, Deadline::After(kTakePatience));
    if (!served || *served != config->files[0]) return std::nullopt;
  }
  const auto pid = warm::Take(endpoint,
                              {.program = warm::IdentityOfProgram(),
                               .argv = command.argv,
                               .env = *command.env,
                               .directory = command.cwd,
                               .oom_score_adj = command.oom_score_adj},
                              listener, Deadline::After(kTakePatience));
  return pid ? std::optional(*pid) : std::nullopt;
}

// Writes a file of the bundle that goes again when a later step fails.
Result<void> WriteBundleFile(const std::string& path, std::string_view content, Rollback& undo) {
  undo.Add([path] { (void)sys::RemoveFile(path); });
  return sys::ReplaceFile(path, content);
}

// containerd closes stdin behind the options; a person's terminal is not waited for.
Result<std::string> ReadInput() {
  if (::isatty(STDIN_FILENO)) return std::string();
  const Deadline deadline = Deadline::After(kInputPatience);
  std::string input;
  for (;;) {
    if (const auto ready = sys::WaitFor(STDIN_FILENO, POLLIN, deadline); !ready) {
      if (ready.error().code() == Code::kDeadlineExceeded) return input;
      return std::unexpected(ready.error());
    }
    char buffer[4096];
    const ssize_t n =
        sys::RetryOnEintr([&] { return ::read(STDIN_FILENO, buffer, sizeof buffer); });
    // A closed descriptor is an empty stdin.
    if (n <= 0) return input;
    input.append(buffer, static_cast<size_t>(n));
    if (input.size() > kMaxInput) return Fail(Code::kInvalidArgument, "stdin: too long");
  }
}

}  // namespace

Result<void> Start(const CommandLine& line, const std::string& input,
                   std::move_only_function<Result<void>(std::string_view answer)> deliver) {
  const Plan plan = KATA_TRY(MakePlan(line, input));
  const std::string socket_path = KATA_TRY(
      SocketPath(plan.socket_dir, plan.line.address, plan.line.namespace_name, plan.sandbox_id));
  const std::string address = std::string(kUnixScheme) + socket_path;
  const std::string answer =
      FormatStartAnswer(address, ::getenv("MAX_SHIM_VERSION"), plan.has_params);
  Rollback undo;
  std::optional<sys::UniqueFd> listener;
  if (plan.role.kind == oci::ContainerKind::kMember) {
    if (!SomebodyListens(socket_path)) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("the shim of sandbox \"{}\" does not run: nobody listens on \"{}\"",
                              plan.sandbox_id, socket_path));
    }
  } else {
    KATA_TRY(sys::MakeDirs(plan.socket_dir, 0711));
    const auto lock = KATA_TRY(LockDirectory(plan.socket_dir));
    listener = KATA_TRY(ListenUnlessServed(socket_path));
    if (listener) undo.Add([&] { (void)sys::RemoveFile(socket_path); });
  }

  KATA_TRY(WriteBundleFile(plan.bundle + "/address", address, undo));
  sys::ChildProcess daemon;  // killed unless it is detached
  sys::UniqueFd warm;        // a daemon that is no child of ours
  if (listener) {
    const sys::Command command = DaemonCommand(plan, socket_path, listener->get());
    std::optional<pid_t> pid = TakeWarmDaemon(command, plan.config_path, listener->get());
    if (pid) {
      warm = KATA_TRY(sys::OpenPidFd(*pid));
      undo.Add([&warm] { (void)sys::SignalPidFd(warm.get(), SIGKILL); });
    } else {
      if (!GetEnv("SCHED_CORE").empty()) KATA_TRY(CreateSchedulingCookie());
      daemon = KATA_TRY(sys::ChildProcess::Spawn(command));
      pid = daemon.pid();
    }
    KATA_TRY(WriteBundleFile(plan.bundle + "/shim.pid", std::to_string(*pid), undo));
  }
  KATA_TRY(deliver(answer));
  if (daemon.valid()) (void)daemon.Detach();
  undo.Release();
  return {};
}

int RunStart(const CommandLine& line) {
  const auto started = [&]() -> Result<void> {
    const std::string input = KATA_TRY(ReadInput());
    return Start(line, input,
                 [](std::string_view answer) { return sys::WriteAll(STDOUT_FILENO, answer); });
  }();
  if (started) return 0;
  (void)sys::WriteAll(STDERR_FILENO, fmt::format("containerd-shim-kata-v2: start \"{}\": {}\n",
                                                 line.id, started.error().message()));
  return 1;
}

DaemonArgs MakeDaemonArgs(const CommandLine& line) {
  return {.namespace_name = line.namespace_name,
          .id = line.id,
          .containerd_address = line.address,
          .ttrpc_address = GetEnv("TTRPC_ADDRESS"),
          .publish_binary = line.publish_binary,
          .bundle = line.bundle,
          .socket_path = line.socket,
          .config_path = line.config,
          .debug = line.debug,
          .listen_fd = line.listen_fd};
}

}  // namespace kata::shim
