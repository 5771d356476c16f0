// SPDX-License-Identifier: Apache-2.0
//
// host/machine/data_disk_mounts.h - the directories of one container that are disks
// (plan/data_disks.h): their images, shown to the guest, and the mounts that lead there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/machine/machine.h"
#include "host/plan/data_disks.h"
#include "host/storage/rootfs.h"
#include "proto/agent.pb.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// One that the guest is to mount.
struct MountedDataDisk {
  DataDisk disk;
  int mount = -1;  // of the specification
  agent::Storage storage;
};

class DataDiskMounts {
 public:
  // `spec` is the guest's. `mount_namespace` is the one that paths are meant in; -1: this
  // process's.
  DataDiskMounts(Machine& machine, const std::string& container_id, int mount_namespace,
                 oci::Spec* spec)
      : machine_(machine),
        container_id_(container_id),
        mount_namespace_(mount_namespace),
        spec_(*spec) {}

  // Takes those out of `volumes` that are disks. One whose image cannot be made stays a volume.
  // Errors  those of PlanDataDisks, OpenDataImage and ImageClaims::Add
  Result<void> ReplaceVolumes(std::vector<SharedVolume>* volumes);
  // Those where nothing is mounted, of a root file system that is an overlay and has been shared:
  // one of `rootfs`, else the one at `directory`.
  Result<void> AddToRoot(const std::vector<storage::RootfsMount>& rootfs,
                         const std::string& directory);

  std::vector<MountedDataDisk> TakeDisks() { return std::exchange(disks_, {}); }

  // Of disks that the guest cannot mount: new ones, in which nothing can be yet, are gone, and the
  // specification's mounts lead to the volumes, shared, or into the root.
  // Errors  kFailedPrecondition  one of them is not new
  Result<void> ShareInstead(std::vector<MountedDataDisk> disks);

 private:
  Result<DataRoot> LookAtRoot(const std::vector<storage::RootfsMount>& rootfs,
                              const std::string& directory) const;
  // False: it is new, and cannot be made.
  Result<bool> Add(const DataDisk& disk);
  LookForImage look() const;

  Machine& machine_;
  const std::string& container_id_;
  const int mount_namespace_;
  oci::Spec& spec_;
  std::vector<MountedDataDisk> disks_;
};

}  // namespace kata::sandbox
