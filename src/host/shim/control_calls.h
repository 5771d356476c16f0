// SPDX-License-Identifier: Apache-2.0
//
// host/shim/control_calls.h - our own service "kata.cpp.v1.Sandbox", for kata-runtime
// (proto/control.proto): what containerd's APIs have no words for.
#pragma once

#include "base/result.h"
#include "host/sandbox/sandbox.h"
#include "proto/agent.pb.h"
#include "proto/control.pb.h"
#include "proto/csi.pb.h"
#include "proto/wellknown.pb.h"
#include "sys/worker_pool.h"
#include "ttrpc/server.h"

namespace kata::shim {

class ControlCalls {
 public:
  // Both outlive the calls.
  ControlCalls(sandbox::Sandbox& sandbox, sys::WorkerPool& pool) : sandbox_(sandbox), pool_(pool) {}
  ControlCalls(const ControlCalls&) = delete;
  ControlCalls& operator=(const ControlCalls&) = delete;

  // Before the server serves.
  void Register(ttrpc::Server& server);

 private:
  template <class Request, class Response>
  void Handle(ttrpc::Server& server, const std::string& method,
              Result<Response> (ControlCalls::*call)(const Request&));

  // By the volume's path on the host.
  Result<csi::VolumeStatsResponse> GetVolumeStats(const agent::VolumeStatsRequest& request);
  Result<wellknown::Empty> ResizeVolume(const agent::ResizeVolumeRequest& request);
  Result<agent::GetIPTablesResponse> GetIpTables(const agent::GetIPTablesRequest& request);
  Result<agent::SetIPTablesResponse> SetIpTables(const agent::SetIPTablesRequest& request);
  Result<control::CheckSavableResponse> CheckSavable(const control::CheckSavableRequest& request);
  Result<control::SaveSnapshotResponse> SaveSnapshot(const control::SaveSnapshotRequest& request,
                                                     const ttrpc::Responder& responder);

  sandbox::Sandbox& sandbox_;
  sys::WorkerPool& pool_;
};

}  // namespace kata::shim
