// SPDX-License-Identifier: Apache-2.0
//
// Methods about one container.
#include <map>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "guest/agent/container/shared_sources.h"
#include "guest/agent/ids.h"
#include "guest/agent/process_info.h"
#include "guest/agent/run_in_child.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"

namespace kata::guest {
namespace {

using ttrpc::CallContext;
using ttrpc::Responder;
using Entry = ContainerTable::EntryPtr;

constexpr std::chrono::seconds kRemoveTimeout{10};
constexpr uint32_t kMaxRemoveSeconds = 3600;
// Files of /proc are told of as many processes as make so many bytes.
constexpr size_t kMaxListed = 384 << 10;
constexpr int kMaxForgotten = 4096;

void RemoveContainer(Agent& agent, const agent::RemoveContainerRequest& request,
                     Responder responder) {
  if (auto valid = CheckId("container id", request.container_id()); !valid) {
    return responder.Fail(valid.error());
  }
  // One whose creation hangs can be removed too.
  const Entry entry = agent.containers().FindAny(request.container_id());
  if (!entry) {
    return responder.Fail(
        Error(Code::kNotFound, fmt::format("no such container: \"{}\"", request.container_id())));
  }
  const std::chrono::seconds timeout =
      request.timeout() == 0 ? kRemoveTimeout
                             : std::chrono::seconds(std::min(request.timeout(), kMaxRemoveSeconds));
  agent.RemoveContainer(entry, timeout, AnswerLater(std::move(responder)));
}

// A memory limit below what is in use makes the kernel reclaim in whoever writes it, for as long as
// that takes.
void UpdateContainer(Agent& agent, const Entry& entry, const agent::UpdateContainerRequest& request,
                     Responder responder) {
  const auto shared = std::make_shared<Responder>(std::move(responder));
  const auto begun = RunInChild(
      agent.loop(),
      [&]() -> Result<std::string> {
        KATA_TRY(entry->container->Update(request.resources()));
        return std::string();
      },
      [shared](const Result<std::string>& updated) {
        if (!updated) return shared->Fail(updated.error());
        shared->ReplyEmpty();
      });
  if (!begun) shared->Fail(begun.error());
}

void ForgetPaths(Agent& agent, const ForgetPathsRequest& request, Responder responder) {
  const std::string below = std::string(kSharedDir) + "/";
  for (const std::string& path : request.paths()) {
    if (request.paths_size() <= kMaxForgotten && path.starts_with(below) &&
        path.find("/..") == path.npos) {
      continue;
    }
    return responder.Fail(Error(Code::kInvalidArgument, "not paths of the shared directory"));
  }
  const auto shared = std::make_shared<Responder>(std::move(responder));
  const auto begun = RunInChild(
      agent.loop(),
      [&]() -> Result<std::string> {
        guest::ForgetPaths({request.paths().begin(), request.paths().end()});
        return std::string();
      },
      [shared](const Result<std::string>&) { shared->ReplyEmpty(); });
  if (!begun) shared->Fail(begun.error());
}

Result<guest::ListProcessesResponse> ListProcesses(Agent& agent,
                                                   const ListProcessesRequest& request) {
  const Entry entry = KATA_TRY(agent.containers().Find(request.container_id()));
  std::map<pid_t, std::string> execs;
  for (const auto& [exec_id, process] : entry->execs) {
    if (!process->exited()) execs[process->pid()] = exec_id;
  }
  ListProcessesResponse response;
  for (const pid_t pid : KATA_TRY(entry->container->Pids())) {
    GuestProcess& process = *response.add_processes();
    process.set_pid(static_cast<uint32_t>(pid));
    FillProcessInfo(pid, process);
    if (request.files() && response.ByteSizeLong() < kMaxListed) FillFiles(pid, process);
    if (const auto exec = execs.find(pid); exec != execs.end()) {
      process.set_exec_id(exec->second);
    }
  }
  return response;
}

// Registers `handler(entry, responder)` for a request that names an existing container.
template <class Request, class Handler>
void HandleContainer(ttrpc::Server& server, Agent& agent, const char* method, Handler handler) {
  server.Handle<Request>(
      kAgentService, method, [&agent, handler](CallContext, Request request, Responder responder) {
        const Result<Entry> entry = agent.containers().Find(request.container_id());
        if (!entry) return responder.Fail(entry.error());
        handler(*entry, std::move(request), std::move(responder));
      });
}

}  // namespace

void RegisterContainerMethods(ttrpc::Server& server, Agent& agent) {
  server.Handle<agent::CreateContainerRequest>(
      kAgentService, "CreateContainer",
      [&agent](CallContext, agent::CreateContainerRequest request, Responder responder) {
        agent.CreateContainer(std::move(request), AnswerLater(std::move(responder)));
      });
  server.Handle<agent::RemoveContainerRequest>(
      kAgentService, "RemoveContainer",
      [&agent](CallContext, const agent::RemoveContainerRequest& request, Responder responder) {
        RemoveContainer(agent, request, std::move(responder));
      });
  server.Handle<agent::ExecProcessRequest>(
      kAgentService, "ExecProcess",
      [&agent](CallContext, agent::ExecProcessRequest request, Responder responder) {
        agent.ExecProcess(std::move(request), AnswerLater(std::move(responder)));
      });
  HandleContainer<agent::StartContainerRequest>(
      server, agent, "StartContainer",
      [&agent](const Entry& entry, const agent::StartContainerRequest&, Responder responder) {
        if (auto thawed = agent.freezer().CheckThawed(); !thawed) {
          return responder.Fail(std::move(thawed).error());
        }
        entry->init->Start(AnswerLater(std::move(responder)));
      });
  HandleContainer<agent::PauseContainerRequest>(
      server, agent, "PauseContainer",
      [&agent](const Entry& entry, const agent::PauseContainerRequest&, Responder responder) {
        agent.Freeze(entry, true, AnswerLater(std::move(responder)));
      });
  HandleContainer<agent::ResumeContainerRequest>(
      server, agent, "ResumeContainer",
      [&agent](const Entry& entry, const agent::ResumeContainerRequest&, Responder responder) {
        agent.Freeze(entry, false, AnswerLater(std::move(responder)));
      });
  HandleContainer<agent::UpdateContainerRequest>(
      server, agent, "UpdateContainer",
      [&agent](const Entry& entry, const agent::UpdateContainerRequest& request,
               Responder responder) {
        UpdateContainer(agent, entry, request, std::move(responder));
      });
  HandleContainer<agent::StatsContainerRequest>(
      server, agent, "StatsContainer",
      [](const Entry& entry, const agent::StatsContainerRequest&, Responder responder) {
        Answer(responder, entry->container->Stats());
      });
  server.Handle<ForgetPathsRequest>(
      kGuestService, "ForgetPaths",
      [&agent](CallContext, const ForgetPathsRequest& request, Responder responder) {
        ForgetPaths(agent, request, std::move(responder));
      });
  HandleNow<ListProcessesRequest>(
      server, kGuestService, "ListProcesses",
      [&agent](const ListProcessesRequest& request) { return ListProcesses(agent, request); });
}

}  // namespace kata::guest
