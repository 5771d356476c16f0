// SPDX-License-Identifier: Apache-2.0
//
// host/machine/attach_disk.h - files and block devices of the host as disks of a machine that runs.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sandbox {

class Machine;

struct AttachedDisk {
  std::string id;       // for DetachDisk()
  std::string driver;   // how the agent is to be told of it, in storages and devices
  std::string address;  // likewise
};

// On the bus that the configuration says. No other machine has the disk meanwhile.
// Errors  kFailedPrecondition  another machine has it, or the host has it mounted
//         others of the VMM, and of opening `source`
Result<AttachedDisk> AttachDisk(Machine& machine, const std::string& source, bool read_only);
// One that is open, with the access that it needs.
Result<AttachedDisk> AttachDisk(Machine& machine, sys::UniqueFd file, bool read_only);

// A file or block device as AttachDisk() opens it, for the machine alone.
// Errors  kFailedPrecondition  another machine has it, or the host has it mounted
//         others of opening it
Result<sys::UniqueFd> OpenDisk(const std::string& source, bool read_only);

// Waits until the guest has let go of it. A failure is logged: the disk stays until the machine's
// end.
void DetachDisk(Machine& machine, const std::string& id);

}  // namespace kata::sandbox
