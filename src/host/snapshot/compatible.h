// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/compatible.h - whether a snapshot can go on here.
#pragma once

#include "base/deadline.h"
#include "base/result.h"
#include "host/config/config.h"
#include "host/hypervisor/registry.h"
#include "host/hypervisor/saved_vm.h"
#include "host/snapshot/manifest.h"

namespace kata::snapshot {

// What a snapshot made here by this configuration says of its origin, and what one that is to go
// on here is compared with: its machine made here. Runs the VMM's program for its version.
// Errors  those of hypervisor::ProbeVersion
Result<Origin> OriginHere(const config::Config& config, const hypervisor::Vmm& vmm,
                          const hypervisor::MachineShape& machine, Deadline deadline);

// Whether a snapshot can go on here, by this configuration. Runs the VMM's program for its version.
// Errors  kFailedPrecondition  it cannot, and why
//         those of OriginHere
Result<void> CheckGoesOn(const config::Config& config, const Manifest& saved);

// Pure. A guest that goes on needs the VMM of the same major and minor version, the same machine,
// and under KVM the same processor; its kernel and initrd are in its memory, and the host's kernel
// may be another.
// Errors  kFailedPrecondition  naming each difference, and what can be done
Result<void> CheckCompatible(const Manifest& saved, const Origin& here);

}  // namespace kata::snapshot
