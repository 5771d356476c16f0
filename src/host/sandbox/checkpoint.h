// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/checkpoint.h - a checkpoint: the directory that a front end keeps, and the snapshot
// that it names.
#pragma once

#include <string>

#include "base/result.h"
#include "host/config/config.h"
#include "host/config/load.h"
#include "host/hypervisor/saved_vm.h"
#include "host/machine/machine.h"
#include "host/plan/guest_plan.h"
#include "host/plan/saved_container.h"
#include "host/sandbox/container.h"
#include "host/snapshot/manifest.h"
#include "host/snapshot/read.h"
#include "host/snapshot/store.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// Of a container that begins from a snapshot of this name.
inline constexpr const char* kSnapshotAnnotation = "io.katacontainers.snapshot";

snapshot::Store StoreOf(const config::Config& config);
// Where a snapshot is made; runs the VMM's program for its version.
Result<snapshot::Origin> OriginOf(const config::Config& config,
                                  const hypervisor::MachineShape& shape);

// As CheckSavable of the plan. Nothing is asked of the guest.
Result<void> CheckSavable(const Machine& machine, size_t containers, const Container& container);

// Has `directory`, which is made where it is missing, name the snapshot.
Result<void> WriteCheckpoint(const std::string& directory, const std::string& snapshot,
                             const snapshot::Store& store);

// The id of the snapshot that the checkpoint in `directory` names.
// Errors  kNotFound  there is no checkpoint of ours
//         kDataLoss  damaged
Result<std::string> ReadCheckpoint(const std::string& directory);

// The name of the snapshot that a container of this specification begins from; empty: from none.
// Errors  kPermissionDenied  the host's configuration lets no container name one
Result<std::string> SnapshotByAnnotation(const oci::Spec& spec, const config::Loaded& config);

struct OpenedSnapshot {
  snapshot::Snapshot snapshot;
  SavedContainer container;
};
// Errors  kNotFound            there is none (any more)
//         kDataLoss            damaged
//         kFailedPrecondition  it cannot go on here, and why
Result<OpenedSnapshot> OpenSnapshot(const config::Config& config, const std::string& id);

// Whether a container of this specification and plan can go on as the saved one.
// Errors  kFailedPrecondition  it differs, and in what
Result<void> CheckSame(const oci::Spec& spec, const GuestPlan& plan, const SavedContainer& saved);

}  // namespace kata::sandbox
