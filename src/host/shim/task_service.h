// SPDX-License-Identifier: Apache-2.0
//
// host/shim/task_service.h - containerd's Task API on top of the sandbox.
//
// Serves "containerd.task.v2.Task" and "containerd.task.v3.Task", which have the same 17 methods
// and messages. A call runs on a pool thread; Wait keeps its responder until the process ends.
// Calls that hang, because the guest does not answer, never keep others from ending it: State,
// Connect and Wait are answered on the loop's thread, and Kill has threads of its own.
// Beside it there are containerd's sandbox API (sandbox_api.h) and our own calls
// (control_calls.h, sandbox_metrics.h).
// Tells containerd of everything that happens, in the order that it documents: created before
// started, exec added before exec started, started before exited, exited before deleted.
// Basis: containerd runtime v2 README.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "host/config/load.h"
#include "host/sandbox/sandbox.h"
#include "host/shim/control_calls.h"
#include "host/shim/daemon.h"
#include "host/shim/events.h"
#include "host/shim/idle_end.h"
#include "host/shim/sandbox_api.h"
#include "host/shim/sandbox_metrics.h"
#include "proto/task.pb.h"
#include "proto/wellknown.pb.h"
#include "sys/coalesced_task.h"
#include "sys/event_loop.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

class TaskService {
 public:
  // `end` is called once, on a pool thread, when nothing is left and containerd has asked for the
  // end or has given up.
  TaskService(const DaemonArgs& args, sys::EventLoop& loop, sys::WorkerPool& pool,
              EventPublisher& events, std::function<void()> end,
              std::unique_ptr<sandbox::Machine> prepared = nullptr);
  TaskService(const TaskService&) = delete;
  TaskService& operator=(const TaskService&) = delete;

  // Before the server serves.
  void Register(ttrpc::Server& server);

 private:
  template <class Request, class Response>
  void Handle(ttrpc::Server& server, const std::string& method,
              Result<Response> (TaskService::*call)(const Request&), sys::WorkerPool& pool);
  // For calls that do not block.
  template <class Request, class Response>
  void HandleAtOnce(ttrpc::Server& server, const std::string& method,
                    Result<Response> (TaskService::*call)(const Request&));
  void HandleCreate(ttrpc::CallContext context, task::CreateTaskRequest request,
                    ttrpc::Responder responder);
  void HandleWait(ttrpc::CallContext context, task::WaitRequest request,
                  ttrpc::Responder responder);
  void HandleShutdown(ttrpc::CallContext context, task::ShutdownRequest request,
                      ttrpc::Responder responder);

  Result<task::StateResponse> State(const task::StateRequest& request);
  Result<task::CreateTaskResponse> Create(const task::CreateTaskRequest& request,
                                          const ttrpc::Responder& responder, Deadline deadline);
  Result<task::StartResponse> Start(const task::StartRequest& request);
  Result<task::DeleteResponse> Delete(const task::DeleteRequest& request);
  Result<task::PidsResponse> Pids(const task::PidsRequest& request);
  Result<wellknown::Empty> Pause(const task::PauseRequest& request);
  Result<wellknown::Empty> Resume(const task::ResumeRequest& request);
  // containerd puts what it makes of its call into `path`, an empty directory or one to be made.
  Result<wellknown::Empty> Checkpoint(const task::CheckpointTaskRequest& request,
                                      const ttrpc::Responder& responder);
  Result<wellknown::Empty> Kill(const task::KillRequest& request);
  Result<wellknown::Empty> Exec(const task::ExecProcessRequest& request);
  Result<wellknown::Empty> ResizePty(const task::ResizePtyRequest& request);
  Result<wellknown::Empty> CloseIO(const task::CloseIORequest& request);
  Result<wellknown::Empty> Update(const task::UpdateTaskRequest& request);
  Result<task::StatsResponse> Stats(const task::StatsRequest& request);
  Result<task::ConnectResponse> Connect(const task::ConnectRequest& request);

  // Ends what there is. True for the one call that has: the service's own end follows. False where
  // containers keep it. On a pool thread.
  bool ShutDown(bool now);
  Result<config::Loaded> ConfigFor(const task::CreateTaskRequest& request);
  sandbox::Observer MakeObserver();
  uint32_t pid() const { return static_cast<uint32_t>(sandbox_.pid()); }

  sys::WorkerPool& pool_;
  EventPublisher& events_;
  const std::function<void()> end_;
  const std::string socket_path_;
  sandbox::Sandbox sandbox_;
  ControlCalls control_;
  SandboxMetrics metrics_;
  SandboxApi sandbox_api_;
  IdleEnd idle_;
  sys::CoalescedTask follow_network_;
  // For what ends processes. Last, so that its threads end first.
  sys::WorkerPool kill_pool_;
};

}  // namespace kata::shim
