// SPDX-License-Identifier: Apache-2.0
//
// Methods about the sandbox as a whole.
#include <sys/stat.h>

#include <memory>
#include <string>

#include <fmt/format.h>

#include "guest/agent/copy_file.h"
#include "guest/agent/network/iptables.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

using ttrpc::CallContext;
using ttrpc::Responder;

Result<void> UpdateEphemeralMounts(const agent::UpdateEphemeralMountsRequest& request) {
  for (const agent::Storage& storage : request.storages()) {
    if (storage.driver() != "ephemeral") {
      return Fail(Code::kInvalidArgument,
                  fmt::format("storage driver \"{}\": only \"ephemeral\" can be updated",
                              storage.driver()));
    }
    KATA_TRY(StorageTable::RemountEphemeral(storage));
  }
  return {};
}

// Looking at what is shared makes the host's file server drop entries that have gone stale.
Result<void> TouchSharedMounts() {
  for (const sys::MountInfo& mount : KATA_TRY(sys::ReadMountInfo())) {
    if (!mount.mount_point.starts_with(kSharedDir)) continue;
    struct stat status{};
    (void)::stat(mount.mount_point.c_str(), &status);
  }
  return {};
}

}  // namespace

void RegisterSandboxMethods(ttrpc::Server& server, Agent& agent) {
  server.Handle<agent::CreateSandboxRequest>(
      kAgentService, "CreateSandbox",
      [&agent](CallContext, agent::CreateSandboxRequest request, Responder responder) {
        agent.CreateSandbox(std::move(request), AnswerLater(std::move(responder)));
      });
  server.Handle<agent::DestroySandboxRequest>(
      kAgentService, "DestroySandbox",
      [&agent](CallContext, const agent::DestroySandboxRequest&, Responder responder) {
        agent.DestroySandbox(
            [&agent, responder = std::move(responder)](const Result<void>& result) mutable {
              Answer(responder, result);
              agent.StopSoon();
            });
      });
  server.Handle<ResetSandboxRequest>(
      kGuestService, "ResetSandbox",
      [&agent](CallContext, const ResetSandboxRequest&, Responder responder) {
        agent.connections().CloseAll();
        agent.DestroySandbox(AnswerLater(std::move(responder)));
      });
  server.Handle<agent::GetOOMEventRequest>(
      kAgentService, "GetOOMEvent",
      [&agent](CallContext, const agent::GetOOMEventRequest&, Responder responder) {
        const auto call = agent.waiting_calls().Admit(std::move(responder));
        if (!call) return;
        agent.oom().Next([call] { return call->wanted(); },
                         [call](Result<std::string> container_id) {
                           if (!container_id) return call->Fail(container_id.error());
                           agent::OOMEvent event;
                           event.set_container_id(*container_id);
                           call->Reply(event);
                         });
      });
  server.Handle<ReconfigureMountRequest>(
      kGuestService, "ReconfigureMount",
      [&agent](CallContext, const ReconfigureMountRequest& request, Responder responder) {
        agent.ReconfigureMount(request.mount_point(), AnswerLater(std::move(responder)));
      });
  server.Handle<agent::ResizeVolumeRequest>(
      kAgentService, "ResizeVolume",
      [&agent](CallContext, const agent::ResizeVolumeRequest& request, Responder responder) {
        agent.GrowStorage(request.volume_guest_path(), request.size(),
                          AnswerLater(std::move(responder)));
      });
  HandleNow<agent::UpdateEphemeralMountsRequest>(server, kAgentService, "UpdateEphemeralMounts",
                                                 UpdateEphemeralMounts);
  HandleNow<agent::RemoveStaleVirtiofsShareMountsRequest>(
      server, kAgentService, "RemoveStaleVirtiofsShareMounts",
      [](const agent::RemoveStaleVirtiofsShareMountsRequest&) { return TouchSharedMounts(); });
  HandleNow<agent::CopyFileRequest>(server, kAgentService, "CopyFile",
                                    [](const agent::CopyFileRequest& request) {
                                      for (const char* base : {IpTables::kDir, kCopiesDir}) {
                                        if (request.path().starts_with(base))
                                          return CopyFile(base, request);
                                      }
                                      return CopyFile(kSharedDir, request);
                                    });
  HandleNow<RemoveCopiesRequest>(server, kGuestService, "RemoveCopies",
                                 [](const RemoveCopiesRequest& request) -> Result<void> {
                                   for (const std::string& path : request.paths()) {
                                     KATA_TRY(RemoveCopy(kCopiesDir, path));
                                   }
                                   return {};
                                 });
}

}  // namespace kata::guest
