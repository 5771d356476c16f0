// SPDX-License-Identifier: Apache-2.0
#include "host/shim/sandbox_api.h"

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "host/shim/answer.h"
#include "host/shim/load_config.h"
#include "host/shim/metrics.h"
#include "host/shim/pod_metrics.h"
#include "host/shim/pod_request.h"
#include "host/shim/timestamp.h"

namespace kata::shim {
namespace {

// A client written in Go that finds an answer and the connection's end at once may take the end for
// the answer, and then removing the pod fails.
constexpr std::chrono::milliseconds kAnswerIsRead(200);

constexpr const char* kSandboxService = "containerd.runtime.sandbox.v1.Sandbox";

// The words of CRI's PodSandboxState, which containerd's CRI plugin looks for.
constexpr const char* kReady = "SANDBOX_READY";
constexpr const char* kNotReady = "SANDBOX_NOTREADY";

#if defined(__x86_64__)
constexpr const char* kArchitecture = "amd64";
#elif defined(__aarch64__)
constexpr const char* kArchitecture = "arm64";
#else
#error "no name for this architecture"
#endif

using sandbox::PodLife;

}  // namespace

template <class Request, class Response>
void SandboxApi::Handle(ttrpc::Server& server, const std::string& method,
                        Result<Response> (SandboxApi::*call)(const Request&)) {
  ServeOn<Request, Response>(pool_, server, kSandboxService, method,
                             [this, call](const Request& request, const ttrpc::Responder&) {
                               return (this->*call)(request);
                             });
}

template <class Request, class Response>
void SandboxApi::HandleAtOnce(ttrpc::Server& server, const std::string& method,
                              Result<Response> (SandboxApi::*call)(const Request&)) {
  server.Handle<Request>(
      kSandboxService, method,
      [this, call, method](ttrpc::CallContext, const Request& request, ttrpc::Responder responder) {
        Respond(method, (this->*call)(request), responder);
      });
}

void SandboxApi::Register(ttrpc::Server& server) {
  Handle(server, "CreateSandbox", &SandboxApi::Create);
  Handle(server, "StartSandbox", &SandboxApi::Start);
  Handle(server, "StopSandbox", &SandboxApi::Stop);
  Handle(server, "PingSandbox", &SandboxApi::Ping);
  Handle(server, "SandboxMetrics", &SandboxApi::Metrics);
  HandleAtOnce(server, "Platform", &SandboxApi::Platform);
  HandleAtOnce(server, "SandboxStatus", &SandboxApi::Status);
  server.Handle<sandbox_api::WaitSandboxRequest>(
      kSandboxService, "WaitSandbox",
      [this](ttrpc::CallContext, const sandbox_api::WaitSandboxRequest& request,
             ttrpc::Responder responder) { HandleWait(request, std::move(responder)); });
  server.Handle<sandbox_api::ShutdownSandboxRequest>(
      kSandboxService, "ShutdownSandbox",
      [this](ttrpc::CallContext, const sandbox_api::ShutdownSandboxRequest& request,
             ttrpc::Responder responder) { HandleShutdown(request, std::move(responder)); });
}

Result<void> SandboxApi::CheckId(const std::string& id) const {
  if (id.empty() || id == sandbox_.id()) return {};
  return Fail(Code::kNotFound, fmt::format("no sandbox \"{}\"", id));
}

Result<sandbox_api::CreateSandboxResponse> SandboxApi::Create(
    const sandbox_api::CreateSandboxRequest& request) {
  if (sandbox_.is_pod()) return Fail(Code::kAlreadyExists, "the sandbox already exists");
  KATA_TRY(CheckId(request.sandbox_id()));
  sandbox::PodRequest pod = KATA_TRY(ReadPodRequest(request));
  pod.config = KATA_TRY(LoadConfig(surroundings_.config_path));
  KATA_TRY(sandbox_.CreatePod(pod));
  return sandbox_api::CreateSandboxResponse();
}

Result<sandbox_api::StartSandboxResponse> SandboxApi::Start(
    const sandbox_api::StartSandboxRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  KATA_TRY(sandbox_.StartPod());
  sandbox_api::StartSandboxResponse response;
  response.set_pid(static_cast<uint32_t>(sandbox_.pid()));
  *response.mutable_created_at() = ToTimestamp(sandbox_.pod().created_at);
  return response;
}

Result<sandbox_api::PlatformResponse> SandboxApi::Platform(
    const sandbox_api::PlatformRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  sandbox_api::PlatformResponse response;
  response.mutable_platform()->set_os("linux");
  response.mutable_platform()->set_architecture(kArchitecture);
  return response;
}

Result<sandbox_api::StopSandboxResponse> SandboxApi::Stop(
    const sandbox_api::StopSandboxRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  KATA_TRY(sandbox_.StopPod(std::chrono::seconds(request.timeout_secs())));
  return sandbox_api::StopSandboxResponse();
}

Result<sandbox_api::SandboxStatusResponse> SandboxApi::Status(
    const sandbox_api::SandboxStatusRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  const PodLife::View view = sandbox_.pod();
  if (view.state == PodLife::State::kNone || view.state == PodLife::State::kCreating) {
    return Fail(Code::kNotFound, "no sandbox was created by the sandbox API");
  }
  sandbox_api::SandboxStatusResponse response;
  response.set_sandbox_id(sandbox_.id());
  response.set_state(view.state == PodLife::State::kReady ? kReady : kNotReady);
  response.set_pid(static_cast<uint32_t>(sandbox_.pid()));
  if (view.created_at.time_since_epoch().count() > 0) {
    *response.mutable_created_at() = ToTimestamp(view.created_at);
  }
  if (view.exit) *response.mutable_exited_at() = ToTimestamp(view.exit->at);
  if (!request.verbose()) return response;
  auto& info = *response.mutable_info();
  info["pid"] = std::to_string(sandbox_.pid());
  info["state"] = response.state();
  if (const std::string network = sandbox_.pod_network(); !network.empty()) {
    info["networkSandboxPath"] = network;
  }
  return response;
}

Result<sandbox_api::PingResponse> SandboxApi::Ping(const sandbox_api::PingRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  KATA_TRY(sandbox_.PingPod());
  return sandbox_api::PingResponse();
}

Result<sandbox_api::SandboxMetricsResponse> SandboxApi::Metrics(
    const sandbox_api::SandboxMetricsRequest& request) {
  KATA_TRY(CheckId(request.sandbox_id()));
  if (sandbox_.pod().state != PodLife::State::kReady) {
    return Fail(Code::kFailedPrecondition, "the sandbox does not run");
  }
  sandbox_api::SandboxMetricsResponse response;
  sandbox_api::Metric& metric = *response.mutable_metrics();
  *metric.mutable_timestamp() = ToTimestamp(std::chrono::system_clock::now());
  metric.set_id(sandbox_.id());
  *metric.mutable_data() = ToMetrics(SumOfStats(sandbox_.PodStats()), HostMetricsVersion());
  return response;
}

void SandboxApi::HandleWait(const sandbox_api::WaitSandboxRequest& request,
                            ttrpc::Responder responder) {
  if (auto known = CheckId(request.sandbox_id()); !known) {
    return responder.Fail(std::move(known).error());
  }
  if (!responder.Park()) {
    return responder.Fail(Error(Code::kResourceExhausted, "too many calls wait for an exit"));
  }
  // Shared, because a callback that is refused would take the responder with it.
  const auto reply = std::make_shared<ttrpc::Responder>(std::move(responder));
  auto waiting = sandbox_.WaitPod([reply](const sandbox::ExitInfo& exit) {
    sandbox_api::WaitSandboxResponse response;
    response.set_exit_status(exit.status);
    *response.mutable_exited_at() = ToTimestamp(exit.at);
    reply->Reply(response);
  });
  if (!waiting) reply->Fail(std::move(waiting).error());
}

void SandboxApi::HandleShutdown(const sandbox_api::ShutdownSandboxRequest& request,
                                ttrpc::Responder responder) {
  if (auto known = CheckId(request.sandbox_id()); !known) {
    return responder.Fail(std::move(known).error());
  }
  pool_.Run([this, responder = std::move(responder)]() mutable {
    const bool ends = surroundings_.shut_down();
    responder.ReplyEmpty();
    if (!ends) return;
    std::this_thread::sleep_for(kAnswerIsRead);
    surroundings_.end();
  });
}

}  // namespace kata::shim
