// SPDX-License-Identifier: Apache-2.0
//
// host/machine/saved_guest.h - a guest that is saved with all that runs in it, and what another
// goes on from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/deadline.h"
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

// The pause of a guest whose containers are frozen: saves it into `writer`, copies what would
// change, and lets it go on, in any case where that failed. `go_on` false: it stands still then,
// for its end to follow.
// Errors  kFailedPrecondition  it has what cannot be saved; nothing has stood still
//         kResourceExhausted   the disk is full
Result<void> CaptureGuest(const Guest& guest, snapshot::Writer& writer, bool go_on,
                          Deadline deadline);

// The NICs of that machine, in order.
std::vector<SavedNic> NicsOf(const hypervisor::MachineShape& machine);
// The disks of that machine, with the files of `files`, which may not be used again.
// Errors  kInvalidArgument  there is none for a disk
Result<std::vector<hypervisor::Disk>> DisksOf(const hypervisor::MachineShape& machine,
                                              std::map<std::string, sys::UniqueFd>& files);
// The first number for which no disk of it and none that is numbered higher is named.
unsigned NextDiskNumber(const hypervisor::MachineShape& machine);

}  // namespace kata::sandbox
