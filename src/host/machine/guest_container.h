// SPDX-License-Identifier: Apache-2.0
//
// host/machine/guest_container.h - what the host does around one container of the guest: its root
// file system and volumes in the shared directory or on the way to the guest, its disks on the
// machine, and their removal.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/machine/attach_disk.h"
#include "host/machine/data_disk_mounts.h"
#include "host/machine/layered_root.h"
#include "host/machine/machine.h"
#include "host/machine/root_on_disks.h"
#include "host/plan/guest_plan.h"
#include "host/plan/layered_request.h"
#include "host/plan/root_disk.h"
#include "host/plan/root_layers.h"
#include "host/storage/rootfs.h"
#include "proto/agent.pb.h"
#include "sys/fd.h"

namespace kata::sandbox {

// What of a container a snapshot of its machine would have, and lack.
struct SavedBy {
  std::string root_words;                // what its root file system is made of
  std::string root_disk;                 // the device that it writes to; empty: none
  std::shared_ptr<const Images> layers;  // below that
  std::vector<std::string>
      volumes;  // destinations of what the host shows it besides; not of copies
};

// What a container that goes on from a snapshot is made of.
struct RestoreSource {
  const snapshot::Snapshot* snapshot = nullptr;
  std::string root_disk;  // as SavedBy has it
  std::vector<storage::RootfsMount> rootfs;
  std::string directory;  // where there are no mounts: what the caller has mounted
  int mount_namespace = -1;
};

// What the caller has mounted as the root, where there is no list of mounts.
std::string DirectoryOf(const oci::Root& root, const std::string& bundle);

class GuestContainer {
 public:
  // Mounts what `plan` shares, reads what it copies, and looks for mistakes in it; the machine is
  // open and need not have booted. After a failure nothing of it is left. `mount_namespace` is the
  // one that the specification's paths are meant in; -1: this process's.
  // Errors  those of storage::CheckRoot, PlanRootDisk and ReadVolume
  static Result<GuestContainer> Prepare(Machine& machine, const std::string& container_id,
                                        GuestPlan plan,
                                        const std::vector<storage::RootfsMount>& rootfs,
                                        const std::string& bundle, int mount_namespace = -1);

  // One whose root file system is a directory of the guest's own, or that the guest makes of
  // `storages`, with nothing else of the host.
  static GuestContainer InGuest(const std::string& container_id, GuestPlan plan,
                                const std::string& root, std::vector<agent::Storage> storages = {});

  // One that is in the guest that the machine will go on with. Its disk is what the snapshot says,
  // in place of what it was; adds the files that are to be behind the guest's devices to `disks`.
  // Errors  kFailedPrecondition  there is no such disk, it cannot be written, or is used on the
  // host
  //         those of Snapshot::WriteDisk
  static Result<GuestContainer> Restore(Machine& machine, const std::string& container_id,
                                        const RestoreSource& source, Images* disks);
  // The guest goes on: from here on what the container has written is there.
  void GoesOn() { created_ = true; }

  // Attaches the disks to the machine, which has booted, and copies the volumes that it does not
  // share.
  Result<void> Deliver(Machine& machine);

  // What the agent is to be asked.
  const agent::CreateContainerRequest& request() const { return request_; }
  // Asks it. A root file system that the guest could not put together is shared instead, and so are
  // directories whose new disks it cannot mount.
  Result<void> Create(Machine& machine, std::chrono::milliseconds timeout);

  // After Deliver: what is to be called whenever the guest has brought the container's files back,
  // as it does before it answers that the container is paused or removed. Empty: they are not with
  // it. Bringing them takes as long as there are files.
  std::function<void()> on_files_back() const;
  static constexpr std::chrono::minutes kBringBackTime{5};
  // The guest says that it has removed the container.
  void RemovedByGuest() { removed_by_guest_ = true; }

  // After Deliver.
  SavedBy saved_by() const;
  // The same: its layers whose images are to be made for the next start.
  std::vector<std::string> missing_layers() const;

  // Whether what it has written may be in the guest alone: in images that the guest mounts.
  bool holds_writes() const { return holds_writes_; }

  // Undoes Prepare, after the guest has let go of the container or the machine has ended. Logs what
  // it cannot undo; the shim's mount namespace takes the rest with it. Disks that the guest has not
  // let go of, or of a machine that is about to end, stay until its end (`keep_disks`).
  void Remove(Machine& machine, bool keep_disks = false);
  // The same of one whose machine has no guest yet, but that of `agent`, if it is there.
  void RemoveFrom(agent::AgentClient* agent, Machine& machine, bool keep_disks);

 private:
  GuestContainer(const std::string& container_id, oci::Spec spec);
  Result<void> RestoreDisk(Machine& machine, const RestoreSource& source, Images* disks);
  Result<void> RestoreDisks(const RestoreSource& source, Images* disks);
  void NoteVolumes(const std::vector<SharedVolume>& shared);
  Result<void> PlanRoot(Machine& machine, const std::vector<storage::RootfsMount>& rootfs,
                        const std::string& bundle, const GuestPlan& plan);
  Result<void> ShareRootfs(Machine& machine, const std::vector<storage::RootfsMount>& rootfs,
                           const std::string& bundle, const GuestPlan& plan);
  Result<void> PlanLayers(Machine& machine, const RootSource& source);
  Result<void> PlanDisks(Machine& machine, const RootSource& source);
  void StaysShared(const Error& reason);
  Result<void> ShareDataDisks(Machine& machine, const Error& reason);
  // With the disks for data, and without where the guest cannot mount them.
  Result<void> AskAgent(Machine& machine, std::chrono::milliseconds timeout);
  Result<void> DeliverRoot(Machine& machine);
  Result<void> DeliverLayers(Machine& machine);
  Result<void> DeliverDisks(Machine& machine);
  Result<AttachedDisk> Attach(Machine& machine, sys::UniqueFd file);
  // Returns those that are to be shared or read.
  std::vector<SharedVolume> FollowVolumes(Machine& machine,
                                          const std::vector<SharedVolume>& volumes);
  void SettleUpperDisk();
  Result<void> ShareVolumes(Machine& machine, const std::vector<SharedVolume>& volumes);
  Result<void> AddDataDisks(Machine& machine, const std::vector<storage::RootfsMount>& rootfs,
                            const std::string& directory, std::vector<SharedVolume>* volumes);
  Result<void> ReadVolumes(const std::vector<SharedVolume>& volumes);
  Result<void> DeliverDirect(Machine& machine);
  void RemoveDirect(Machine& machine, bool keep_disks) const;
  void RemoveLayers(Machine& machine, bool keep_disks) const;
  Result<AttachedDisk> Attach(Machine& machine, const std::string& source, bool read_only);

  int mount_namespace_ = -1;  // the caller's, until Create() has returned
  std::string container_id_;
  agent::CreateContainerRequest request_;
  std::optional<RootDisk> root_disk_;
  std::optional<LayeredRoot> layered_root_;
  std::optional<RootOnDisks> root_on_disks_;
  bool created_ = false;           // by the guest
  bool removed_by_guest_ = false;  // with all that it was asked for
  std::string root_words_;
  LayeredRequest layered_request_;
  std::vector<GuestDisk> disks_;
  std::vector<DirectMount> direct_;
  std::vector<MountedDataDisk> data_disks_;
  bool holds_writes_ = false;
  std::vector<VolumeCopy> copies_;  // until they are delivered
  std::vector<std::string> disk_ids_;
  std::string root_disk_id_;
  std::vector<std::string> volumes_;  // destinations of those that are no copies
};

}  // namespace kata::sandbox
