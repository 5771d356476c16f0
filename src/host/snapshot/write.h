// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/write.h - writing a snapshot of a VM that stands still for a part of it.
//
//   Begin() - Hypervisor::Save(state_folder()) - Capture() - Hypervisor::Resume() - Publish()
//
// Between Save and Resume only what a running guest would change is copied; disks are cloned where
// the file system can. A writer that goes before Publish() leaves nothing, a killed one nothing
// that is taken for a snapshot.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/hypervisor/saved_vm.h"
#include "host/snapshot/manifest.h"
#include "host/snapshot/store.h"
#include "sys/fd.h"

namespace kata::snapshot {

class Writer {
 public:
  // `store` must live as long. Errors  as Store::Begin
  static Result<Writer> Begin(const Store& store, const std::string& id);

  // Empty and there: where Hypervisor::Save writes.
  std::string state_folder() const { return fresh_.Path("state"); }

  // Takes over what Save has answered and copies what is in motion. Once, before Resume.
  // Errors  kResourceExhausted  the disk is full
  //         kUnavailable        the VMM has gone
  Result<void> Capture(hypervisor::SavedVm saved);

  // Adds the images behind read-only devices, by their ids: each a further name of the same file,
  // else a copy. After Capture; the VM may run. Errors  kResourceExhausted  the disk is full
  Result<void> AddLayers(const std::map<std::string, sys::UniqueFd>& images);

  // Copies the rest, syncs all of it and makes it a snapshot. `manifest` says what is known of its
  // origin, its sandbox and what the shim adds; the rest of it is filled in here. The VM may run.
  // Errors  kResourceExhausted  the disk is full, or the quota is smaller
  Result<Manifest> Publish(Manifest manifest) &&;

 private:
  // A part of memory on its way.
  struct Part {
    uint32_t size_mib = 0;
    sys::UniqueFd from;
    sys::UniqueFd to;
    bool shared = true;
    std::vector<factory::Extent> own;  // of a private one: what was copied from the VMM
    factory::MemoryImage image;
  };

  // A disk on its way. One that was cloned is looked through when the VM runs again.
  struct DiskPart {
    DiskFile file;
    sys::UniqueFd to;
    bool cloned = false;
  };

  Writer(const Store& store, Store::Fresh fresh) : store_(&store), fresh_(std::move(fresh)) {}
  Result<void> CaptureMemory(hypervisor::SavedVm& saved);
  Result<void> CaptureDisks(hypervisor::SavedVm& saved);
  Result<void> FinishMemory(Manifest* manifest);
  Result<void> FinishDisks(Manifest* manifest);

  const Store* store_;
  Store::Fresh fresh_;
  hypervisor::MachineShape shape_;
  std::vector<Part> parts_;
  std::vector<DiskPart> disks_;
  std::vector<LayerFile> layers_;
  std::vector<sys::UniqueFd> files_;  // written, to be synced
};

}  // namespace kata::snapshot
