// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/checkpoint.h - a checkpoint: the directory that a front end keeps, and the snapshot
// that it names.
#pragma once

#include <string>

#include "base/result.h"
#include "host/config/config.h"
#include "host/hypervisor/saved_vm.h"
#include "host/machine/machine.h"
#include "host/plan/guest_plan.h"
#include "host/plan/saved_container.h"
#include "host/sandbox/container.h"
#include "host/snapshot/manifest.h"
#include "host/snapshot/read.h"
#include "host/snapshot/store.h"

namespace kata::sandbox {

snapshot::Store StoreOf(const config::Config& config);
// Where a snapshot is made; runs the VMM's program for its version.
Result<snapshot::Origin> OriginOf(const config::Config& config,
                                  const hypervisor::MachineShape& shape);

// As CheckSavable, of a container that is the only one. Nothing is asked.
Result<void> CheckSavable(const Machine& machine, size_t containers, const Container& container);

// Has `directory`, which is made where it is missing, name the snapshot.
Result<void> WriteCheckpoint(const std::string& directory, const std::string& snapshot,
                             const snapshot::Store& store);

struct OpenedCheckpoint {
  snapshot::Snapshot snapshot;
  SavedContainer container;
};
// Errors  kNotFound            `directory` has no checkpoint of ours, or its snapshot has gone
//         kDataLoss            damaged
//         kFailedPrecondition  the snapshot cannot go on here, and why
Result<OpenedCheckpoint> OpenCheckpoint(const config::Config& config, const std::string& directory);

// Whether a container of this plan can go on as the saved one.
// Errors  kFailedPrecondition  it differs, and in what
Result<void> CheckSame(const GuestPlan& plan, bool terminal, const SavedContainer& saved);

}  // namespace kata::sandbox
