// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/guest_container.h - what the host does around one container of the guest: its root
// file system and volumes in the shared directory, its disks on the machine, and their removal.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/sandbox/guest_plan.h"
#include "host/sandbox/machine.h"
#include "host/storage/rootfs.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

class GuestContainer {
 public:
  // Carries out `plan`. After a failure nothing of it is left.
  static Result<GuestContainer> Prepare(Machine& machine, const std::string& container_id,
                                        GuestPlan plan,
                                        const std::vector<storage::RootfsMount>& rootfs,
                                        const std::string& bundle);

  // What the agent is to be asked.
  const agent::CreateContainerRequest& request() const { return request_; }

  // Undoes Prepare, after the guest has let go of the container or the machine has ended. Logs what
  // it cannot undo; the shim's mount namespace takes the rest with it.
  void Remove(Machine& machine);

 private:
  Result<void> ShareRootfs(Machine& machine, const std::vector<storage::RootfsMount>& rootfs,
                           const std::string& bundle, const std::vector<SharedVolume>& volumes);
  Result<void> ShareVolumes(Machine& machine, const std::vector<SharedVolume>& volumes);
  Result<void> AttachDisks(Machine& machine, const std::vector<GuestDisk>& disks);

  std::string container_id_;
  agent::CreateContainerRequest request_;
  std::vector<std::string> disk_ids_;
};

}  // namespace kata::sandbox
