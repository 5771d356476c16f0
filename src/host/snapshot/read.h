// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/read.h - making a VM's memory and disks what a snapshot says.
#pragma once

#include <future>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/factory/state_files.h"
#include "host/hypervisor/vm_spec.h"
#include "host/snapshot/manifest.h"
#include "host/snapshot/store.h"
#include "sys/fd.h"

namespace kata::snapshot {

// A snapshot whose files are open: it stays readable, whoever removes it. One thread at a time.
class Snapshot {
 public:
  // Checks the manifest, the state, and that the other files are there and of their sizes.
  // Errors  as Store::Open
  //         kDataLoss  a file is missing or not what was saved
  static Result<Snapshot> Open(const Store& store, const std::string& id);

  const Manifest& manifest() const { return manifest_; }

  // Reads all of it. Errors  kDataLoss  the snapshot is damaged
  Result<void> Verify() const;

  // Makes `spec` the machine of the snapshot, with memory in files that FinishMemory() has filled.
  // Its program, confinement and agent channel stay; its devices are for the caller: one for each
  // of manifest().machine.devices, in that order, with their `place`s where they were plugged.
  // Fills in the background. Once. Maps the snapshot's own files where no guest's freeing can harm
  // them, else copies.
  Result<void> BeginMemory(hypervisor::VmSpec* spec);
  // Waits until the memory is there and right: before Hypervisor::Restore.
  // Errors  kDataLoss  the snapshot is damaged
  Result<void> FinishMemory();
  // Writes what Hypervisor::Restore reads to `folder`, which is made.
  Result<void> WriteState(const std::string& folder) const;

  // Errors  kNotFound  the snapshot has no disk of that id
  Result<uint64_t> SizeOfDisk(const std::string& id) const;
  // The images of layers, by the ids of their devices, for reading.
  Result<std::map<std::string, sys::UniqueFd>> Layers() const;

  // Makes the disk or image file `to` what the device `id` of the snapshot was; what it held is
  // gone. `to` is open for reading and writing.
  // Errors  kNotFound         the snapshot has no disk of that id
  //         kInvalidArgument  `to` is smaller; the message names both sizes
  //         kDataLoss         the snapshot is damaged
  Result<void> WriteDisk(const std::string& id, int to) const;

 private:
  explicit Snapshot(Manifest manifest) : manifest_(std::move(manifest)) {}
  Result<void> OpenFiles(const std::string& folder);

  Manifest manifest_;
  factory::StateFiles state_;
  std::vector<sys::UniqueFd> memory_;
  std::vector<sys::UniqueFd> disks_;
  std::vector<sys::UniqueFd> layers_;
  std::future<Result<void>> filling_;
};

}  // namespace kata::snapshot
