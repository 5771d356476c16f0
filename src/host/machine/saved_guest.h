// SPDX-License-Identifier: Apache-2.0
//
// host/machine/saved_guest.h - a guest that is saved with all that runs in it, and what another
// goes on from.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/hypervisor/saved_vm.h"
#include "host/machine/guest.h"
#include "host/machine/guest_network.h"
#include "host/snapshot/read.h"
#include "host/snapshot/write.h"
#include "sys/fd.h"

namespace kata::sandbox {

// What a guest goes on from.
struct SavedGuest {
  snapshot::Snapshot* snapshot = nullptr;  // that can go on here (snapshot/compatible.h)
  // A file for each disk of it, by its id, open as the disk was; those that can be written have the
  // snapshot's content by now (Snapshot::WriteDisk).
  std::map<std::string, sys::UniqueFd> disks;
  uint32_t first_stream = 1;  // of the agent's client, above those of the saved guest's
  agent::Renewal renewal;
};

// A guest that stands still, all of it in `writer`, from Hold() until GoOn(); the destructor has it
// go on as well, and logs what goes wrong. Blocks.
class StillGuest {
 public:
  // Its containers are frozen and its processors stopped, in that order. After an error all goes
  // on.
  // Errors  kUnimplemented       its agent cannot be saved
  //         kDeadlineExceeded    names what did not come to rest
  //         kFailedPrecondition  as Hypervisor::Save
  //         those of Writer::Capture
  static Result<StillGuest> Hold(std::shared_ptr<const Guest> guest, snapshot::Writer& writer);
  StillGuest(StillGuest&&) noexcept = default;
  StillGuest& operator=(StillGuest&&) = delete;
  ~StillGuest();

  const hypervisor::MachineShape& shape() const { return shape_; }
  // Of the agent's client in a guest that goes on from there.
  uint32_t first_stream() const { return first_stream_; }

  // One that cannot go on loses its machine: the error says so.
  Result<void> GoOn();
  // It shall not: its machine is about to end.
  void Abandon() { guest_.reset(); }

 private:
  explicit StillGuest(std::shared_ptr<const Guest> guest) : guest_(std::move(guest)) {}

  std::shared_ptr<const Guest> guest_;  // null: it goes on
  hypervisor::MachineShape shape_;
  uint32_t first_stream_ = 1;
};

// The NICs of that machine, in order.
std::vector<SavedNic> NicsOf(const hypervisor::MachineShape& machine);
// The disks of that machine, with the files of `files`, which may not be used again.
// Errors  kInvalidArgument  there is none for a disk
Result<std::vector<hypervisor::Disk>> DisksOf(const hypervisor::MachineShape& machine,
                                              std::map<std::string, sys::UniqueFd>& files);
// The first number for which no disk of it and none that is numbered higher is named.
unsigned NextDiskNumber(const hypervisor::MachineShape& machine);

}  // namespace kata::sandbox
