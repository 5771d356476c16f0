// SPDX-License-Identifier: Apache-2.0
//
// host/plan/guest_mounts.h - the mounts of a specification: which the guest makes by itself,
// which are shared with it, and which are disks. Part of guest_plan.h.
#pragma once

#include "host/plan/guest_plan.h"
#include "host/storage/root_check.h"

namespace kata::sandbox {

// Puts the mounts of `spec` into `plan`, whose own it replaces.
// Errors  kNotFound  a bind mount's source does not exist
Result<void> PlanMounts(const oci::Spec& spec, const PlanInput& input, GuestPlan* plan);

// How a container with the guest's specification `spec` will use its root file system.
storage::RootUse PlanRootUse(const oci::Spec& spec, bool host_hooks);

}  // namespace kata::sandbox
