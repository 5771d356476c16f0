// SPDX-License-Identifier: Apache-2.0
#include "host/shim/control_calls.h"

#include <string>
#include <utility>

#include "host/shim/answer.h"

namespace kata::shim {
namespace {

constexpr const char* kControlService = "kata.cpp.v1.Sandbox";

}  // namespace

template <class Request, class Response>
void ControlCalls::Handle(ttrpc::Server& server, const std::string& method,
                          Result<Response> (ControlCalls::*call)(const Request&)) {
  ServeOn<Request, Response>(pool_, server, kControlService, method,
                             [this, call](const Request& request, const ttrpc::Responder&) {
                               return (this->*call)(request);
                             });
}

void ControlCalls::Register(ttrpc::Server& server) {
  Handle(server, "GetVolumeStats", &ControlCalls::GetVolumeStats);
  Handle(server, "ResizeVolume", &ControlCalls::ResizeVolume);
  Handle(server, "GetIPTables", &ControlCalls::GetIpTables);
  Handle(server, "SetIPTables", &ControlCalls::SetIpTables);
  Handle(server, "CheckSavable", &ControlCalls::CheckSavable);
  ServeOn<control::SaveSnapshotRequest, control::SaveSnapshotResponse>(
      pool_, server, kControlService, "SaveSnapshot",
      [this](const control::SaveSnapshotRequest& request, const ttrpc::Responder& responder) {
        return SaveSnapshot(request, responder);
      });
}

Result<csi::VolumeStatsResponse> ControlCalls::GetVolumeStats(
    const agent::VolumeStatsRequest& request) {
  return sandbox_.VolumeStats(request.volume_guest_path());
}

Result<wellknown::Empty> ControlCalls::ResizeVolume(const agent::ResizeVolumeRequest& request) {
  KATA_TRY(sandbox_.GrowVolume(request.volume_guest_path(), request.size()));
  return wellknown::Empty();
}

Result<agent::GetIPTablesResponse> ControlCalls::GetIpTables(
    const agent::GetIPTablesRequest& request) {
  agent::GetIPTablesResponse response;
  response.set_data(KATA_TRY(sandbox_.IpTables(request.is_ipv6())));
  return response;
}

Result<agent::SetIPTablesResponse> ControlCalls::SetIpTables(
    const agent::SetIPTablesRequest& request) {
  KATA_TRY(sandbox_.SetIpTables(request.is_ipv6(), request.data()));
  return agent::SetIPTablesResponse();
}

Result<control::CheckSavableResponse> ControlCalls::CheckSavable(
    const control::CheckSavableRequest& request) {
  control::CheckSavableResponse response;
  const auto savable = sandbox_.CheckSavable(request.container_id());
  if (savable) return response;
  if (savable.error().code() != Code::kFailedPrecondition) return std::unexpected(savable.error());
  response.set_refusal(savable.error().message());
  return response;
}

Result<control::SaveSnapshotResponse> ControlCalls::SaveSnapshot(
    const control::SaveSnapshotRequest& request, const ttrpc::Responder& responder) {
  const auto saved =
      KATA_TRY(sandbox_.Checkpoint({.container_id = request.container_id(),
                                    .name = request.name(),
                                    .exit = request.stop(),
                                    .wanted = [&responder] { return responder.wanted(); }}));
  control::SaveSnapshotResponse response;
  response.set_name(saved.name);
  response.set_store(saved.store);
  response.set_bytes(saved.bytes);
  return response;
}

}  // namespace kata::shim
