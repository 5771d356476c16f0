// SPDX-License-Identifier: Apache-2.0
//
// host/shim/sandbox_api.h - containerd's sandbox API: pods without a container of their own.
//
// Serves "containerd.runtime.sandbox.v1.Sandbox" on the socket of the Task API, whose containers
// join the pod by being created there. Calls that may hang with the guest run on a pool's thread;
// SandboxStatus and WaitSandbox do not, and so can always be answered.
// Basis: containerd's core/sandbox and its conformance suite for shims.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "host/config/load.h"
#include "host/sandbox/sandbox.h"
#include "proto/sandbox_api.pb.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

class SandboxApi {
 public:
  struct Surroundings {
    std::string config_path;  // of the runtime options that `start` was told; may be empty
    // Ends whatever there is. True for the one call that has: `end` is to follow.
    std::function<bool()> shut_down;
    std::function<void()> end;
  };

  // Both outlive the calls.
  SandboxApi(sandbox::Sandbox& sandbox, sys::WorkerPool& pool, Surroundings surroundings)
      : sandbox_(sandbox), pool_(pool), surroundings_(std::move(surroundings)) {}
  SandboxApi(const SandboxApi&) = delete;
  SandboxApi& operator=(const SandboxApi&) = delete;

  // Before the server serves.
  void Register(ttrpc::Server& server);

 private:
  template <class Request, class Response>
  void Handle(ttrpc::Server& server, const std::string& method,
              Result<Response> (SandboxApi::*call)(const Request&));
  // For calls that do not block.
  template <class Request, class Response>
  void HandleAtOnce(ttrpc::Server& server, const std::string& method,
                    Result<Response> (SandboxApi::*call)(const Request&));
  void HandleWait(const sandbox_api::WaitSandboxRequest& request, ttrpc::Responder responder);
  void HandleShutdown(const sandbox_api::ShutdownSandboxRequest& request,
                      ttrpc::Responder responder);

  Result<sandbox_api::CreateSandboxResponse> Create(
      const sandbox_api::CreateSandboxRequest& request);
  Result<sandbox_api::StartSandboxResponse> Start(const sandbox_api::StartSandboxRequest& request);
  Result<sandbox_api::PlatformResponse> Platform(const sandbox_api::PlatformRequest& request);
  Result<sandbox_api::StopSandboxResponse> Stop(const sandbox_api::StopSandboxRequest& request);
  Result<sandbox_api::SandboxStatusResponse> Status(
      const sandbox_api::SandboxStatusRequest& request);
  Result<sandbox_api::PingResponse> Ping(const sandbox_api::PingRequest& request);
  Result<sandbox_api::SandboxMetricsResponse> Metrics(
      const sandbox_api::SandboxMetricsRequest& request);

  // A shim has one sandbox; an empty id is that one.
  // Errors  kNotFound
  Result<void> CheckId(const std::string& id) const;

  sandbox::Sandbox& sandbox_;
  sys::WorkerPool& pool_;
  const Surroundings surroundings_;
};

}  // namespace kata::shim
