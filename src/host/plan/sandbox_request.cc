// SPDX-License-Identifier: Apache-2.0
#include "host/plan/sandbox_request.h"

#include <algorithm>

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

void AddKernelModule(const std::string& module, agent::CreateSandboxRequest& request) {
  agent::KernelModule& added = *request.add_kernel_modules();
  for (size_t begin = 0; begin < module.size();) {
    const size_t end = std::min(module.find(' ', begin), module.size());
    const std::string word = module.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    if (added.name().empty()) {
      added.set_name(word);
    } else {
      added.add_parameters(word);
    }
  }
}

}  // namespace

agent::CreateSandboxRequest SandboxRequest(const std::string& sandbox_id,
                                           const std::string& hostname, bool shares_files,
                                           const std::vector<std::string>& kernel_modules) {
  agent::CreateSandboxRequest request;
  request.set_sandbox_id(sandbox_id);
  request.set_hostname(hostname);
  if (shares_files) AddSharedDirectory(request);
  AddSharedMemory(request);
  for (const std::string& module : kernel_modules) AddKernelModule(module, request);
  return request;
}

}  // namespace kata::sandbox
