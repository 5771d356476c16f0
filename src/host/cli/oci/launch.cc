// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/launch.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/cli/oci/peer.h"
#include "host/cli/oci/pidfd_socket.h"
#include "host/cli/oci/root_view.h"
#include "host/cli/oci/shim.h"
#include "host/cli/oci/shortage.h"
#include "host/cli/oci/terminal.h"
#include "host/stdio/stand_in_channel.h"
#include "oci/annotations.h"
#include "oci/parse.h"
#include "oci/runtime_error.h"
#include "oci/usable_capabilities.h"
#include "oci/validate.h"
#include "proto/wellknown.pb.h"
#include "sys/cgroups.h"
#include "sys/files.h"
#include "sys/fuse_tree.h"
#include "sys/process.h"

namespace kata::cli::oci {
namespace {

using std::chrono::seconds;

// For a machine or guest to let go of what it was asked for.
constexpr auto kUndoTime = seconds(20);

struct Bundle {
  std::string path;      // without symbolic links
  std::string text;      // of config.json
  bool adapted = false;  // other than the file has it
  ::kata::oci::Spec spec;
  std::string rootfs;
};

Result<std::string> RealPath(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return FailErrno("chdir", path);
  return std::string(resolved);
}

// A root file system that is a link could be another one a moment later.
Result<std::string> FindRootfs(const std::string& bundle, const std::string& path) {
  namespace fs = std::filesystem;
  std::string whole = (fs::path(bundle) / path).lexically_normal().string();
  while (whole.size() > 1 && whole.ends_with('/')) whole.pop_back();
  char resolved[PATH_MAX];
  if (::realpath(whole.c_str(), resolved) == nullptr) {
    return std::unexpected(Error::FromErrno("stat", whole).Within("invalid rootfs"));
  }
  if (whole != resolved) {
    return Fail(Code::kInvalidArgument,
                fmt::format("invalid rootfs: \"{}\" is not an absolute path, or a symlink", whole));
  }
  struct stat status{};
  if (::stat(resolved, &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("invalid rootfs: \"{}\" is no directory", whole));
  }
  return whole;
}

Result<Bundle> LoadBundle(const std::string& root, const std::string& path) {
  Bundle bundle;
  bundle.path = KATA_TRY(RealPath(path.empty() ? "." : path));
  auto text = sys::ReadFile(bundle.path + "/config.json", ::kata::oci::kMaxJsonBytes);
  if (!text && text.error().code() == Code::kNotFound) {
    return Fail(Code::kNotFound, "JSON specification file config.json not found");
  }
  if (!text) return std::unexpected(text.error());
  bundle.text = KATA_TRY(WithJoinedMappings(root, *text));
  bundle.adapted = bundle.text != *text;
  bundle.spec = KATA_TRY(::kata::oci::ParseSpec(bundle.text)).value;
  KATA_TRY_WITHIN("config.json", ::kata::oci::ValidateSpec(bundle.spec));
  bundle.rootfs = KATA_TRY(FindRootfs(bundle.path, bundle.spec.root().path()));
  return bundle;
}

std::string Now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char text[32];
  ::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", text, now.tv_nsec);
}

State MakeState(const LaunchRequest& request, const Bundle& bundle) {
  State state;
  state.id = request.id;
  state.oci_version = bundle.spec.version();
  state.bundle = bundle.path;
  state.rootfs = bundle.rootfs;
  state.created = Now();
  state.annotations = {bundle.spec.annotations().begin(), bundle.spec.annotations().end()};
  state.owner = ::geteuid();
  state.sandbox = request.id;
  return state;
}

// The pid of the VMM.
Result<pid_t> CreateTask(const State& state, const Bundle& bundle, const std::string& stand_in,
                         const std::string& checkpoint) {
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::CreateTaskRequest create;
  create.set_id(state.id);
  create.set_bundle(state.bundle);
  if (bundle.adapted) create.set_config(bundle.text);
  create.set_terminal(bundle.spec.process().terminal());
  create.set_checkpoint(checkpoint);
  create.set_stdin(stand_in);
  create.set_stdout(stand_in);
  create.set_stderr(stand_in);
  const auto created = shim->Call<task::CreateTaskResponse>("Create", create);
  if (!created) {
    return std::unexpected(
        ::kata::oci::WithoutShimWords(::kata::oci::Step::kCreate, created.error()));
  }
  return static_cast<pid_t>(created->pid());
}

// Whatever has come of it: one that is still being created is undone.
void DeleteTask(const State& state) {
  if (state.shim.empty()) return;
  const auto shim = Shim::Connect(state.shim);
  if (!shim) return;
  task::DeleteRequest request;
  request.set_id(state.id);
  (void)(*shim)->Call<task::DeleteResponse>("Delete", request, Deadline::After(kUndoTime));
}

bool JoinsAProcess(const ::kata::oci::Spec& spec) {
  return std::ranges::any_of(spec.linux().namespaces(),
                             [](const auto& wanted) { return NamespaceOwner(wanted.path()) != 0; });
}

// The text of the bundle's config.json as the shim is to see it, and the container's sandbox.
Result<std::string> PlaceInSandbox(const Globals& globals, const Bundle& bundle, State& state) {
  using ::kata::oci::ContainerKind;
  const auto role = KATA_TRY(::kata::oci::RoleFromAnnotations(bundle.spec));
  if (!role.sandbox_id.empty()) state.sandbox = role.sandbox_id;
  state.first = role.kind != ContainerKind::kMember;
  if (role.kind == ContainerKind::kSandbox) return bundle.text;
  if (role.kind == ContainerKind::kMember && SandboxLives(globals.root, role.sandbox_id)) {
    return bundle.text;
  }
  const auto peer = KATA_TRY(FindPeer(globals.root, bundle.spec));
  if (peer) {
    state.sandbox = peer->sandbox;
    state.first = false;
    return AsMember(bundle.text, peer->sandbox);
  }
  if (role.kind == ContainerKind::kMember && JoinsAProcess(bundle.spec)) return bundle.text;
  state.sandbox = state.id;
  state.first = true;
  // A pod of Podman's without an infra container is a group of containers that share nothing.
  return role.kind == ContainerKind::kMember ? AsSandbox(bundle.text, state.id) : bundle.text;
}

// Engines read what a container uses from the cgroup of its process.
Result<void> JoinCgroupsOf(pid_t vmm, pid_t stand_in) {
  for (const std::string& directory : KATA_TRY(sys::ReadCgroupDirs(vmm))) {
    KATA_TRY(sys::JoinCgroup(directory, stand_in));
  }
  return {};
}

Result<StandIn> StartStandIn(const Globals& globals, const LaunchRequest& request,
                             const ::kata::oci::Process& process, const std::string& socket,
                             int proc) {
  StandInRequest stand_in{
      .root = globals.root, .id = request.id, .terminal = process.terminal(), .proc = proc};
  sys::UniqueFd console;
  if (!request.console_socket.empty()) {
    console = KATA_TRY(OpenConsole(request.console_socket, process.console_size().height(),
                                   process.console_size().width()));
    for (int& stream : stand_in.streams) stream = console.get();
    stand_in.own_terminal = true;
  }
  return StandIn::Start(stand_in, socket);
}

}  // namespace

Result<Launched> Launch(const Globals& globals, const LaunchRequest& request) {
  KATA_TRY(CheckId(request.id));
  const Bundle bundle = KATA_TRY(LoadBundle(globals.root, request.bundle));
  const ::kata::oci::Process& process = bundle.spec.process();
  KATA_TRY(CheckTerminal(process.terminal(), request.detach, request.console_socket));
  ::kata::oci::Process granted = process;
  for (const std::string& note : ::kata::oci::RemoveUnusableCapabilities(&granted)) {
    Warn(globals, note);
  }

  StateDir dir = KATA_TRY(StateDir::Claim(globals.root, request.id, [&](const std::string& path) {
    (void)CleanUpAfterShim(globals, request.id, path);
  }));
  // Before `undo`, which uses it.
  Launched launched{
      .state = MakeState(request, bundle), .stand_in = {}, .terminal = process.terminal()};
  State& state = launched.state;
  Rollback undo;
  undo.Add([&dir] { (void)dir.Remove(); });
  const std::string config = KATA_TRY(PlaceInSandbox(globals, bundle, state));
  KATA_TRY(sys::WriteFile(dir.path() + "/config.json", config, 0600));
  KATA_TRY(sys::WriteFile(dir.path() + "/log", "", 0600));

  const std::string socket = dir.path() + "/init.sock";
  // Without it, what is shown at the stand-in has an empty /proc.
  auto proc = sys::MakeFuseMount("kata-proc");
  launched.stand_in =
      KATA_TRY(StartStandIn(globals, request, process, socket, proc ? proc->device.get() : -1));
  if (proc) proc->device.Reset();
  state.pid = launched.stand_in.pid();

  undo.Add([&] {
    // A member's sandbox lives on, and would keep what was created for this call.
    DeleteTask(state);
    (void)EndShim(globals, request.id, dir.path(), state.shim);
  });
  state.shim = KATA_TRY(StartShim(globals, request.id, dir.path()));
  Debug(globals, "nsexec container setup in the guest");
  const pid_t vmm = KATA_TRY(CreateTask(
      state, bundle, fmt::format("{}{}", stdio::kStandInScheme, socket), request.checkpoint));
  Debug(globals, "child process in init()");
  KATA_TRY(sys::RemoveFile(socket));
  KATA_TRY_WITHIN("cgroup", JoinCgroupsOf(vmm, state.pid));
  if (!request.pid_file.empty()) KATA_TRY(WritePidFile(request.pid_file, state.pid));
  KATA_TRY(SendPidFd(request.pidfd_socket, state.pid));
  KATA_TRY(SaveState(globals.root, state));
  KATA_TRY(ShowRootAt(state.pid, bundle.spec, bundle.rootfs, proc ? proc->mount.get() : -1));
  KATA_TRY(launched.stand_in.Release(vmm));
  WarnOfShortage(globals, state.sandbox);
  undo.Release();
  return launched;
}

Result<void> StartContainer(const Globals& globals, const State& state) {
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::StartRequest request;
  request.set_id(state.id);
  if (auto started = shim->Call<task::StartResponse>("Start", request); !started) {
    return std::unexpected(
        ::kata::oci::WithoutShimWords(::kata::oci::Step::kStart, std::move(started).error()));
  }
  Debug(globals, "init: closing the pipe to signal completion");
  return {};
}

Result<int> LaunchAndStart(const Globals& globals, const LaunchRequest& request, bool keep) {
  Launched launched = KATA_TRY(Launch(globals, request));
  // The host's stand-in shares the caller's terminal.
  std::optional<RawMode> raw;
  if (launched.terminal && !request.detach) raw.emplace(STDIN_FILENO);
  if (auto started = StartContainer(globals, launched.state); !started) {
    raw.reset();
    (void)RemoveContainer(globals, launched.state);
    return std::unexpected(std::move(started).error());
  }
  if (request.detach) {
    launched.stand_in.Leave();
    return 0;
  }
  const int status = KATA_TRY(launched.stand_in.WaitForEnd());
  raw.reset();
  if (!keep) KATA_TRY(RemoveContainer(globals, launched.state));
  return status;
}

Result<void> EndShim(const Globals& globals, const std::string& id, const std::string& directory,
                     const std::string& socket) {
  if (!socket.empty()) {
    if (const auto shim = Shim::Connect(socket)) {
      (void)(*shim)->Shutdown(id, Deadline::After(seconds(5)));
    }
  }
  return CleanUpAfterShim(globals, id, directory);
}

namespace {

// It tells its parent the container's status, and what is left in the container's cgroup is killed.
void WaitForStandIn(pid_t pid) {
  const auto pidfd = sys::OpenPidFd(pid);
  if (pidfd && IsStandIn(pid))
    (void)sys::WaitFor(pidfd->get(), POLLIN, Deadline::After(seconds(3)));
}

}  // namespace

Result<void> DestroyContainer(const Globals& globals, StateDir& dir, const State& state) {
  if (const auto shim = Shim::Connect(state.shim)) {
    const auto view = (*shim)->State(state.id);
    if (view && view->status() != task::STOPPED) {
      (void)(*shim)->Kill(state.id, SIGKILL, false);
      (void)(*shim)->Wait(state.id, Deadline::After(seconds(20)));
    }
    WaitForStandIn(state.pid);
    task::DeleteRequest request;
    request.set_id(state.id);
    (void)(*shim)->Call<task::DeleteResponse>("Delete", request);
  }
  KATA_TRY(EndShim(globals, state.id, dir.path(), state.shim));
  return dir.Remove();
}

Result<void> RemoveContainer(const Globals& globals, const State& state) {
  auto dir = StateDir::Lock(globals.root, state.id);
  if (!dir && dir.error().code() == Code::kNotFound) return {};
  if (!dir) return std::unexpected(dir.error());
  return DestroyContainer(globals, *dir, state);
}

Result<void> WritePidFile(const std::string& path, pid_t pid) {
  const size_t slash = path.rfind('/');
  const std::string neighbour =
      slash == std::string::npos
          ? "." + path
          : fmt::format("{}/.{}", path.substr(0, slash), path.substr(slash + 1));
  KATA_TRY_WITHIN("pid file", sys::WriteFile(neighbour, std::to_string(pid)));
  if (::rename(neighbour.c_str(), path.c_str()) != 0) return FailErrno("rename", path);
  return {};
}

}  // namespace kata::cli::oci
