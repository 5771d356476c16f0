// SPDX-License-Identifier: Apache-2.0
#include "host/machine/testing/fake_agent.h"

#include <csignal>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace kata::sandbox {
namespace {

constexpr std::string_view kAgent = "grpc.AgentService";
constexpr std::string_view kHealth = "grpc.Health";
constexpr std::string_view kGuest = "kata.cpp.v1.Guest";

template <class Request>
AgentCall Describe(const std::string& method, const Request& request) {
  AgentCall call{.method = method, .container_id = {}, .exec_id = {}};
  if constexpr (requires { request.container_id(); }) call.container_id = request.container_id();
  if constexpr (requires { request.exec_id(); }) call.exec_id = request.exec_id();
  return call;
}

Error NoSuch(const std::string& container_id, const std::string& exec_id) {
  return Error(Code::kNotFound, fmt::format("the guest has no \"{}/{}\"", container_id, exec_id));
}

}  // namespace

template <class Request>
void FakeAgent::Handle(std::string_view service, const std::string& method,
                       void (FakeAgent::*act)(const Request&, ttrpc::Responder&)) {
  server_->Handle<Request>(
      std::string(service), method,
      [this, method, act](ttrpc::CallContext, Request request, ttrpc::Responder responder) {
        const AgentCall call = Describe(method, request);
        const auto reply = std::make_shared<ttrpc::Responder>(std::move(responder));
        auto go = [weak = weak_from_this(), act, request = std::move(request),
                   reply](Result<void> decided) {
          const auto self = weak.lock();
          if (!self || !self->server_) return;
          if (!decided) return reply->Fail(std::move(decided).error());
          ((*self).*act)(request, *reply);
        };
        if (!script_) return go({});
        script_(call, std::move(go));
        // Dropped by the script, it is an answer that never comes.
        if (!reply->answered() && reply.use_count() == 1) parked_.push_back(std::move(*reply));
      });
}

void FakeAgent::Register() {
  Handle(kHealth, "Check", &FakeAgent::Check);
  Handle(kGuest, "Renew", &FakeAgent::Acknowledge<guest::RenewRequest>);
  Handle(kGuest, "Freeze", &FakeAgent::Acknowledge<guest::FreezeRequest>);
  Handle(kGuest, "Thaw", &FakeAgent::Acknowledge<guest::ThawRequest>);
  Handle(kAgent, "CreateSandbox", &FakeAgent::Acknowledge<agent::CreateSandboxRequest>);
  Handle(kAgent, "StatsContainer", &FakeAgent::StatsContainer);
  Handle(kAgent, "GetMetrics", &FakeAgent::GetMetrics);
  Handle(kAgent, "CreateContainer", &FakeAgent::CreateContainer);
  Handle(kAgent, "StartContainer", &FakeAgent::StartContainer);
  Handle(kAgent, "RemoveContainer", &FakeAgent::RemoveContainer);
  Handle(kAgent, "ExecProcess", &FakeAgent::ExecProcess);
  Handle(kAgent, "SignalProcess", &FakeAgent::SignalProcess);
  Handle(kAgent, "WaitProcess", &FakeAgent::WaitProcess);
  Handle(kAgent, "ReadStdout", &FakeAgent::ReadStream);
  Handle(kAgent, "ReadStderr", &FakeAgent::ReadStream);
  Handle(kAgent, "CloseStdin", &FakeAgent::Acknowledge<agent::CloseStdinRequest>);
  Handle(kAgent, "PauseContainer", &FakeAgent::Acknowledge<agent::PauseContainerRequest>);
  Handle(kAgent, "ResumeContainer", &FakeAgent::Acknowledge<agent::ResumeContainerRequest>);
  Handle(kAgent, "UpdateContainer", &FakeAgent::Acknowledge<agent::UpdateContainerRequest>);
  server_->Handle(std::string(kAgent), "GetOOMEvent",
                  [this](ttrpc::CallContext, std::string_view, ttrpc::Responder reply) {
                    parked_.push_back(std::move(reply));
                  });
}

void FakeAgent::Serve(sys::UniqueFd stream) {
  if (!server_) {
    server_ = std::make_unique<ttrpc::Server>(loop_);
    Register();
  }
  LogIfFailed(server_->Serve(std::move(stream)));
}

void FakeAgent::Close() {
  server_.reset();
  containers_.clear();
  parked_.clear();
}

void FakeAgent::RunOnLoop(const std::function<void()>& work) {
  std::promise<void> done;
  loop_.Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

std::vector<std::string> FakeAgent::Containers() {
  std::vector<std::string> ids;
  RunOnLoop([&] {
    for (const auto& [id, container] : containers_) ids.push_back(id);
  });
  return ids;
}

std::vector<std::string> FakeAgent::Running() {
  std::vector<std::string> names;
  RunOnLoop([&] {
    for (const auto& [id, container] : containers_) {
      for (const auto& [exec_id, process] : container.processes) {
        if (process->running) names.push_back(exec_id.empty() ? id : id + "/" + exec_id);
      }
    }
  });
  return names;
}

void FakeAgent::End(const std::string& container_id, const std::string& exec_id, int status) {
  RunOnLoop([&] {
    if (const auto process = Find(container_id, exec_id)) EndProcess(*process, status);
  });
}

std::shared_ptr<FakeAgent::Process> FakeAgent::Find(const std::string& container_id,
                                                    const std::string& exec_id) const {
  const auto container = containers_.find(container_id);
  if (container == containers_.end()) return nullptr;
  const auto process = container->second.processes.find(exec_id);
  return process == container->second.processes.end() ? nullptr : process->second;
}

void FakeAgent::EndProcess(Process& process, int status) {
  if (process.status) return;
  process.running = false;
  process.status = status;
  agent::WaitProcessResponse response;
  response.set_status(status);
  for (ttrpc::Responder& waiter : std::exchange(process.waiters, {})) waiter.Reply(response);
  for (ttrpc::Responder& reader : std::exchange(process.readers, {})) reader.ReplyEmpty();
}

// A container of it has used a second of a processor and a MiB.
void FakeAgent::StatsContainer(const agent::StatsContainerRequest& request,
                               ttrpc::Responder& reply) {
  if (!containers_.contains(request.container_id())) {
    return reply.Fail(NoSuch(request.container_id(), ""));
  }
  agent::StatsContainerResponse stats;
  agent::CgroupStats& cgroup = *stats.mutable_cgroup_stats();
  cgroup.mutable_cpu_stats()->mutable_cpu_usage()->set_total_usage(1000000000);
  cgroup.mutable_memory_stats()->mutable_usage()->set_usage(1 << 20);
  reply.Reply(stats);
}

void FakeAgent::GetMetrics(const agent::GetMetricsRequest&, ttrpc::Responder& reply) {
  agent::Metrics metrics;
  metrics.set_metrics(metrics_);
  reply.Reply(metrics);
}

void FakeAgent::Check(const health::CheckRequest&, ttrpc::Responder& reply) {
  health::HealthCheckResponse response;
  response.set_status(health::HealthCheckResponse::SERVING);
  reply.Reply(response);
}

void FakeAgent::CreateContainer(const agent::CreateContainerRequest& request,
                                ttrpc::Responder& reply) {
  const auto [entry, is_new] = containers_.try_emplace(request.container_id());
  if (!is_new) {
    return reply.Fail(
        Error(Code::kAlreadyExists, fmt::format("the guest has \"{}\"", request.container_id())));
  }
  entry->second.processes[""] = std::make_shared<Process>();
  reply.ReplyEmpty();
}

void FakeAgent::StartContainer(const agent::StartContainerRequest& request,
                               ttrpc::Responder& reply) {
  const auto process = Find(request.container_id(), "");
  if (!process) return reply.Fail(NoSuch(request.container_id(), ""));
  if (process->running || process->status) {
    return reply.Fail(Error(Code::kFailedPrecondition, "the guest has started it already"));
  }
  process->running = true;
  reply.ReplyEmpty();
}

void FakeAgent::RemoveContainer(const agent::RemoveContainerRequest& request,
                                ttrpc::Responder& reply) {
  const auto container = containers_.find(request.container_id());
  if (container == containers_.end()) return reply.Fail(NoSuch(request.container_id(), ""));
  for (const auto& [exec_id, process] : container->second.processes) {
    EndProcess(*process, 128 + SIGKILL);
  }
  containers_.erase(container);
  reply.ReplyEmpty();
}

void FakeAgent::ExecProcess(const agent::ExecProcessRequest& request, ttrpc::Responder& reply) {
  const auto container = containers_.find(request.container_id());
  if (container == containers_.end()) return reply.Fail(NoSuch(request.container_id(), ""));
  auto& processes = container->second.processes;
  if (!processes.at("")->running) {
    return reply.Fail(Error(Code::kFailedPrecondition, "the container has stopped"));
  }
  auto& process = processes[request.exec_id()];
  if (process && !process->status) {
    return reply.Fail(Error(Code::kAlreadyExists, "the guest has this exec"));
  }
  process = std::make_shared<Process>();
  process->running = true;
  reply.ReplyEmpty();
}

void FakeAgent::SignalProcess(const agent::SignalProcessRequest& request, ttrpc::Responder& reply) {
  const auto process = Find(request.container_id(), request.exec_id());
  if (!process || process->status) {
    return reply.Fail(NoSuch(request.container_id(), request.exec_id()));
  }
  const int status = 128 + static_cast<int>(request.signal());
  EndProcess(*process, status);
  if (request.exec_id().empty()) {
    // The first process was the first of its pid namespace.
    for (const auto& [id, each] : containers_[request.container_id()].processes) {
      EndProcess(*each, 128 + SIGKILL);
    }
  }
  reply.ReplyEmpty();
}

void FakeAgent::WaitProcess(const agent::WaitProcessRequest& request, ttrpc::Responder& reply) {
  const auto process = Find(request.container_id(), request.exec_id());
  if (!process) return reply.Fail(NoSuch(request.container_id(), request.exec_id()));
  if (!process->status) return process->waiters.push_back(std::move(reply));
  agent::WaitProcessResponse response;
  response.set_status(*process->status);
  reply.Reply(response);
}

void FakeAgent::ReadStream(const agent::ReadStreamRequest& request, ttrpc::Responder& reply) {
  const auto process = Find(request.container_id(), request.exec_id());
  if (!process) return reply.Fail(NoSuch(request.container_id(), request.exec_id()));
  if (process->status || request.close()) return reply.ReplyEmpty();
  process->readers.push_back(std::move(reply));
}

}  // namespace kata::sandbox
