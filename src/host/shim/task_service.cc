// SPDX-License-Identifier: Apache-2.0
#include "host/shim/task_service.h"

#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/shim/answer.h"
#include "host/shim/load_config.h"
#include "host/shim/metrics.h"
#include "host/shim/options.h"
#include "host/shim/timestamp.h"
#include "oci/parse.h"
#include "proto/shim.pb.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

// A thread each: a guest that does not answer holds each for as long as a signal may take.
constexpr size_t kMaxKills = 64;
constexpr size_t kMaxShownCommand = 1024;
constexpr size_t kMaxShownWord = 64;
constexpr const char* kServices[] = {"containerd.task.v2.Task", "containerd.task.v3.Task"};

task::Status StatusOf(const sandbox::ProcessView& view) {
  switch (view.state) {
    case sandbox::ProcessState::kCreating:
    case sandbox::ProcessState::kCreated:
    case sandbox::ProcessState::kStarting:
      return view.paused ? task::PAUSED : task::CREATED;
    case sandbox::ProcessState::kRunning:
      return view.paused ? task::PAUSED : task::RUNNING;
    case sandbox::ProcessState::kStopped:
    case sandbox::ProcessState::kDeleted:
      return task::STOPPED;
  }
  return task::UNKNOWN;
}

template <class Request>
sandbox::StdioRequest StdioOf(const Request& request) {
  return {.terminal = request.terminal(),
          .in = request.stdin(),
          .out = request.stdout(),
          .err = request.stderr()};
}

std::vector<storage::RootfsMount> RootfsOf(const task::CreateTaskRequest& request) {
  std::vector<storage::RootfsMount> mounts;
  for (const task::Mount& mount : request.rootfs()) {
    mounts.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  return mounts;
}

template <class Message>
Result<wellknown::Empty> EmptyAfter(Result<Message> result) {
  if (!result) return std::unexpected(std::move(result).error());
  return wellknown::Empty();
}

void LogUnsupported(const std::vector<oci::Unsupported>& parts) {
  for (const oci::Unsupported& part : parts) {
    log::Warn("a part of the specification is not honoured",
              {{"field", part.path}, {"reason", part.reason}});
  }
}

}  // namespace

TaskService::TaskService(const DaemonArgs& args, sys::EventLoop& loop, sys::WorkerPool& pool,
                         EventPublisher& events, std::function<void()> end,
                         std::unique_ptr<sandbox::Machine> prepared)
    : pool_(pool),
      events_(events),
      end_(std::move(end)),
      socket_path_(args.socket_path),
      sandbox_(args.id, args.socket_path, args.namespace_name, loop, MakeObserver(),
               std::move(prepared)),
      control_(sandbox_, pool),
      metrics_(sandbox_, pool),
      sandbox_api_(sandbox_, pool,
                   {.config_path = args.config_path,
                    .shut_down = [this] { return ShutDown(true); },
                    .end = end_}),
      idle_(
          loop, IdleEnd::kPatience, [this] { return !sandbox_.IsNeeded(); },
          [this] {
            pool_.Run([this] {
              if (!ShutDown(false)) return;
              log::Warn("no container and no caller for two minutes: the shim ends");
              end_();
            });
          }),
      follow_network_(pool, [this] { sandbox_.FollowNetwork(); }),
      kill_pool_(kMaxKills) {}

sandbox::Observer TaskService::MakeObserver() {
  return {.on_started =
              [this](const std::string& container_id, const std::string& exec_id) {
                if (exec_id.empty()) {
                  events_.TaskStart(container_id, pid());
                } else {
                  events_.TaskExecStarted(container_id, exec_id, pid());
                }
              },
          .on_exit =
              [this](const std::string& container_id, const std::string& exec_id,
                     const sandbox::ExitInfo& exit) {
                events_.TaskExit(container_id, exec_id.empty() ? container_id : exec_id, pid(),
                                 exit.status, exit.at);
              },
          .on_deleted =
              [this](const std::string& container_id, const std::string& exec_id,
                     const sandbox::ExitInfo& exit) {
                events_.TaskDelete(container_id, exec_id, pid(), exit.status, exit.at);
              },
          .on_oom = [this](const std::string& container_id) { events_.TaskOOM(container_id); },
          .on_stand_in =
              [this](const std::string& container_id, const std::string& exec_id,
                     const stdio::StandInEvent& event, std::function<void()> handled) {
                const bool resize = event.kind == stdio::StandInEvent::Kind::kResize;
                sys::WorkerPool& pool = resize ? pool_ : kill_pool_;
                pool.Run([this, container_id, exec_id, event, handled = std::move(handled)] {
                  sandbox_.HandleStandIn(container_id, exec_id, event, handled);
                });
              },
          .on_stand_in_end =
              [this](const std::string& container_id, const std::string& exec_id) {
                pool_.Run([this, container_id, exec_id] {
                  task::DeleteRequest request;
                  request.set_id(container_id);
                  request.set_exec_id(exec_id);
                  (void)Delete(request);
                });
              },
          .on_network = [this] { follow_network_.Ask(); }};
}

template <class Request, class Response>
void TaskService::Handle(ttrpc::Server& server, const std::string& method,
                         Result<Response> (TaskService::*call)(const Request&),
                         sys::WorkerPool& pool) {
  for (const char* service : kServices) {
    ServeOn<Request, Response>(pool, server, service, method,
                               [this, call](const Request& request, const ttrpc::Responder&) {
                                 return (this->*call)(request);
                               });
  }
}

template <class Request, class Response>
void TaskService::HandleAtOnce(ttrpc::Server& server, const std::string& method,
                               Result<Response> (TaskService::*call)(const Request&)) {
  for (const char* service : kServices) {
    server.Handle<Request>(service, method,
                           [this, call, method](ttrpc::CallContext, const Request& request,
                                                ttrpc::Responder responder) {
                             Respond(method, (this->*call)(request), responder);
                           });
  }
}

void TaskService::HandleCreate(ttrpc::CallContext context, task::CreateTaskRequest request,
                               ttrpc::Responder responder) {
  RunCall<task::CreateTaskResponse>(
      pool_, "Create", std::move(responder),
      [this, request = std::move(request), deadline = context.deadline](
          const ttrpc::Responder& answer) { return Create(request, answer, deadline); });
}

void TaskService::Register(ttrpc::Server& server) {
  HandleAtOnce(server, "State", &TaskService::State);
  HandleAtOnce(server, "Connect", &TaskService::Connect);
  Handle(server, "Start", &TaskService::Start, pool_);
  Handle(server, "Delete", &TaskService::Delete, pool_);
  Handle(server, "Pids", &TaskService::Pids, pool_);
  Handle(server, "Pause", &TaskService::Pause, pool_);
  Handle(server, "Resume", &TaskService::Resume, pool_);
  Handle(server, "Kill", &TaskService::Kill, kill_pool_);
  Handle(server, "Exec", &TaskService::Exec, pool_);
  Handle(server, "ResizePty", &TaskService::ResizePty, pool_);
  Handle(server, "CloseIO", &TaskService::CloseIO, pool_);
  Handle(server, "Update", &TaskService::Update, pool_);
  Handle(server, "Stats", &TaskService::Stats, pool_);
  control_.Register(server);
  metrics_.Register(server);
  sandbox_api_.Register(server);
  for (const char* service : kServices) {
    ServeOn<task::CheckpointTaskRequest, wellknown::Empty>(
        pool_, server, service, "Checkpoint",
        [this](const task::CheckpointTaskRequest& request, const ttrpc::Responder& responder) {
          return Checkpoint(request, responder);
        });
    server.Handle<task::CreateTaskRequest>(
        service, "Create", [this](auto... arguments) { HandleCreate(std::move(arguments)...); });
    server.Handle<task::WaitRequest>(
        service, "Wait", [this](auto... arguments) { HandleWait(std::move(arguments)...); });
    server.Handle<task::ShutdownRequest>(service, "Shutdown", [this](auto... arguments) {
      HandleShutdown(std::move(arguments)...);
    });
  }
}

Result<task::StateResponse> TaskService::State(const task::StateRequest& request) {
  const sandbox::ProcessView view = KATA_TRY(sandbox_.State(request.id(), request.exec_id()));
  task::StateResponse response;
  response.set_id(request.id());
  response.set_exec_id(request.exec_id());
  response.set_bundle(view.bundle);
  response.set_pid(static_cast<uint32_t>(view.pid));
  response.set_status(StatusOf(view));
  response.set_stdin(view.stdio.in);
  response.set_stdout(view.stdio.out);
  response.set_stderr(view.stdio.err);
  response.set_terminal(view.stdio.terminal);
  if (response.status() == task::STOPPED) {
    response.set_exit_status(view.exit.status);
    *response.mutable_exited_at() = ToTimestamp(view.exit.at);
  }
  return response;
}

Result<config::Loaded> TaskService::ConfigFor(const task::CreateTaskRequest& request) {
  RuntimeOptionsValue options;
  if (request.has_options()) options = KATA_TRY(ParseRuntimeOptions(request.options()));
  if (options.config_path.empty() && !options.config_body.empty()) {
    log::Warn("runtime options without a ConfigPath are ignored");
  }
  return LoadConfig(options.config_path);
}

Result<task::CreateTaskResponse> TaskService::Create(const task::CreateTaskRequest& request,
                                                     const ttrpc::Responder& responder,
                                                     Deadline deadline) {
  const config::Loaded config = KATA_TRY(ConfigFor(request));
  const sandbox::ContainerRequest container{.id = request.id(),
                                            .bundle = request.bundle(),
                                            .config = request.config(),
                                            .rootfs = RootfsOf(request),
                                            .stdio = StdioOf(request),
                                            .checkpoint = request.checkpoint()};
  const sandbox::Caller caller{.wanted = [&responder] { return responder.wanted(); },
                               .deadline = deadline,
                               .created = [&] { events_.TaskCreate(request, pid()); }};
  auto created = sandbox_.Create(container, config, caller);
  idle_.Watch();
  KATA_TRY(std::move(created));
  task::CreateTaskResponse response;
  response.set_pid(pid());
  return response;
}

Result<task::StartResponse> TaskService::Start(const task::StartRequest& request) {
  KATA_TRY(sandbox_.Start(request.id(), request.exec_id()));
  task::StartResponse response;
  response.set_pid(pid());
  return response;
}

Result<task::DeleteResponse> TaskService::Delete(const task::DeleteRequest& request) {
  const uint32_t vmm = pid();
  const sandbox::ExitInfo exit = KATA_TRY(sandbox_.Delete(request.id(), request.exec_id()));
  if (request.exec_id().empty()) idle_.Watch();
  task::DeleteResponse response;
  response.set_pid(vmm);
  response.set_exit_status(exit.status);
  *response.mutable_exited_at() = ToTimestamp(exit.at);
  return response;
}

Result<task::PidsResponse> TaskService::Pids(const task::PidsRequest& request) {
  task::PidsResponse response;
  for (const guest::GuestProcess& process : KATA_TRY(sandbox_.Pids(request.id()))) {
    task::ProcessInfo& info = *response.add_processes();
    // Callers look the number up on the host, as `docker top` does: one of the guest's would show
    // them a stranger.
    info.set_pid(pid());
    task::ProcessLook& look = *info.mutable_look();
    look.set_pid(process.pid());
    look.set_parent(process.parent());
    look.set_uid(process.uid());
    look.set_started(process.started());
    look.set_cpu_seconds(process.cpu_seconds());
    look.set_command(process.command().substr(0, kMaxShownCommand));
    look.set_name(process.name().substr(0, kMaxShownWord));
    look.set_status(process.status().substr(0, kMaxShownWord));
    look.set_terminal(process.terminal().substr(0, kMaxShownWord));
    if (process.exec_id().empty()) continue;
    ProcessDetails details;
    details.set_exec_id(process.exec_id());
    info.mutable_info()->set_type_url("containerd.runc.v1.ProcessDetails");
    info.mutable_info()->set_value(details.SerializeAsString());
  }
  return response;
}

Result<wellknown::Empty> TaskService::Pause(const task::PauseRequest& request) {
  KATA_TRY(sandbox_.Pause(request.id()));
  events_.TaskPaused(request.id());
  return wellknown::Empty();
}

Result<wellknown::Empty> TaskService::Resume(const task::ResumeRequest& request) {
  KATA_TRY(sandbox_.Resume(request.id()));
  events_.TaskResumed(request.id());
  return wellknown::Empty();
}

Result<wellknown::Empty> TaskService::Checkpoint(const task::CheckpointTaskRequest& request,
                                                 const ttrpc::Responder& responder) {
  if (request.path().empty()) {
    return Fail(Code::kInvalidArgument, "checkpoint: no directory is named");
  }
  const auto exit = KATA_TRY(ParseCheckpointExit(request.options()));
  return EmptyAfter(
      sandbox_.Checkpoint({.container_id = request.id(),
                           .directory = request.path(),
                           .exit = exit,
                           .saved = [&] { events_.TaskCheckpointed(request.id(), request.path()); },
                           .wanted = [&responder] { return responder.wanted(); }}));
}

Result<wellknown::Empty> TaskService::Kill(const task::KillRequest& request) {
  return EmptyAfter(
      sandbox_.Kill(request.id(), request.exec_id(), request.signal(), request.all()));
}

Result<wellknown::Empty> TaskService::Exec(const task::ExecProcessRequest& request) {
  auto process = KATA_TRY(oci::ParseProcess(request.spec().value()));
  LogUnsupported(process.unsupported);
  process.value.set_cgroup(request.cgroup());
  KATA_TRY(sandbox_.Exec(request.id(), request.exec_id(), process.value, StdioOf(request),
                         [&] { events_.TaskExecAdded(request.id(), request.exec_id()); }));
  return wellknown::Empty();
}

Result<wellknown::Empty> TaskService::ResizePty(const task::ResizePtyRequest& request) {
  return EmptyAfter(
      sandbox_.ResizeTerminal(request.id(), request.exec_id(), request.height(), request.width()));
}

Result<wellknown::Empty> TaskService::CloseIO(const task::CloseIORequest& request) {
  if (!request.stdin()) return wellknown::Empty();
  return EmptyAfter(sandbox_.CloseStdin(request.id(), request.exec_id()));
}

Result<wellknown::Empty> TaskService::Update(const task::UpdateTaskRequest& request) {
  const auto resources = KATA_TRY(oci::ParseResources(request.resources().value()));
  LogUnsupported(resources.unsupported);
  return EmptyAfter(sandbox_.Update(request.id(), resources.value));
}

Result<task::StatsResponse> TaskService::Stats(const task::StatsRequest& request) {
  task::StatsResponse response;
  *response.mutable_stats() =
      ToMetrics(KATA_TRY(sandbox_.Stats(request.id())), HostMetricsVersion());
  return response;
}

Result<task::ConnectResponse> TaskService::Connect(const task::ConnectRequest& request) {
  // containerd asks so for a pod without containers, too, when it has been started anew.
  const bool of_pod = sandbox_.is_pod() && request.id() == sandbox_.id();
  if (!of_pod) KATA_TRY(sandbox_.State(request.id(), ""));
  task::ConnectResponse response;
  response.set_shim_pid(static_cast<uint32_t>(::getpid()));
  response.set_task_pid(pid());
  return response;
}

void TaskService::HandleWait(ttrpc::CallContext, task::WaitRequest request,
                             ttrpc::Responder responder) {
  // Callers that lose their patience tell nobody.
  if (!responder.Park()) {
    return responder.Fail(Error(Code::kResourceExhausted, "too many calls wait for an exit"));
  }
  // Shared, because a callback that is refused would take the responder with it.
  const auto reply = std::make_shared<ttrpc::Responder>(std::move(responder));
  auto waiting =
      sandbox_.Wait(request.id(), request.exec_id(), [reply](const sandbox::ExitInfo& exit) {
        task::WaitResponse response;
        response.set_exit_status(exit.status);
        *response.mutable_exited_at() = ToTimestamp(exit.at);
        reply->Reply(response);
      });
  if (!waiting) reply->Fail(std::move(waiting).error());
}

void TaskService::HandleShutdown(ttrpc::CallContext, task::ShutdownRequest request,
                                 ttrpc::Responder responder) {
  pool_.Run([this, now = request.now(), responder = std::move(responder)]() mutable {
    // A pod of the sandbox API ends by that: containerd calls this after each of its containers.
    const bool ends = !sandbox_.is_pod() && ShutDown(now);
    responder.ReplyEmpty();
    if (ends) end_();
  });
}

bool TaskService::ShutDown(bool now) {
  // A pod's shim serves its other containers on.
  if (sandbox_.BeginShutdown(now) != sandbox::Members::Shutdown::kBegun) return false;
  // First of all, so that a successor of the same id binds a socket of its own.
  LogIfFailed(sys::RemoveFile(socket_path_));
  sandbox_.Shutdown();
  return true;
}

}  // namespace kata::shim
