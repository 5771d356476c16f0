// SPDX-License-Identifier: Apache-2.0
#include "host/plan/sandbox_request.h"

#include "host/storage/share.h"

namespace kata::sandbox {
namespace {

// /dev/shm of a pod's containers.
void AddSharedMemory(agent::CreateSandboxRequest& request) {
  agent::Storage& shm = *request.add_storages();
  shm.set_driver("ephemeral");
  shm.set_source("shm");
  shm.set_fstype("tmpfs");
  shm.set_mount_point("/run/kata-containers/sandbox/shm");
  for (const char* option : {"noexec", "nosuid", "nodev", "mode=1777", "size=67108864"}) {
    shm.add_options(option);
  }
}

void AddSharedDirectory(agent::CreateSandboxRequest& request) {
  agent::Storage& share = *request.add_storages();
  share.set_driver("virtio-fs");
  share.set_source(storage::SharedDirectory::kTag);
  share.set_fstype("virtiofs");
  share.set_mount_point(storage::SharedDirectory::kGuestDirectory);
}

}  // namespace

agent::CreateSandboxRequest SandboxRequest(const std::string& sandbox_id,
                                           const std::string& hostname, bool shares_files) {
  agent::CreateSandboxRequest request;
  request.set_sandbox_id(sandbox_id);
  request.set_hostname(hostname);
  if (shares_files) AddSharedDirectory(request);
  AddSharedMemory(request);
  return request;
}

}  // namespace kata::sandbox
