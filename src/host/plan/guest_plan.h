// SPDX-License-Identifier: Apache-2.0
//
// host/plan/guest_plan.h - from the specification that the caller gave to the one that the guest
// gets: what the host must share or attach first, and what does not cross the VM boundary.
//
// Deciding only; sandbox.cc acts on the plan.
// Basis: OCI runtime-spec config.md; Kata Containers agent protocol.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/plan/guest_limits.h"
#include "host/plan/source.h"
#include "host/storage/direct_volumes.h"
#include "host/storage/share.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

struct PlanInput {
  std::string container_id;
  std::string bundle;
  std::string container_kind;  // "single_container", "pod_sandbox" or "pod_container"
  // A member whose namespaces say which ones it joins: the others are its own.
  bool by_namespaces = false;
  // Likewise those that it does not name at all, as in a pod of containerd's sandbox API.
  bool only_joined = false;
  bool guest_seccomp = false;  // the guest shall apply the specification's filter
  std::function<Source(const std::string&)> look_at = LookAtSource;
  std::function<dev_t(const std::string&)> device_number = DeviceNumber;
  std::function<std::string(dev_t)> find_block_device = FindBlockDevice;
  storage::DirectVolumes direct_volumes;
};

// A bind mount whose source is shown to the guest through the shared directory. Its entry in
// `GuestPlan::spec.mounts` gets the guest's path as source.
struct SharedVolume {
  int mount = 0;  // index in spec.mounts
  std::string source;
  std::string destination;
  std::vector<std::string> options;
  std::optional<storage::IdMapping> ids = std::nullopt;
  bool overlay = false;  // of directories that the options name; there is nothing at `source`
};

// A bind mount whose source a storage driver has said to be a disk. Its entry in
// `GuestPlan::spec.mounts` gets the place in the guest as source.
struct DirectMount {
  int mount = 0;  // index in spec.mounts
  std::string source;
  storage::DirectVolume volume;
};

struct GuestPlan {
  oci::Spec spec;
  std::vector<SharedVolume> volumes;
  std::vector<DirectMount> direct;
  std::vector<GuestDisk> disks;
  bool share_pid_namespace = false;
  bool share_ipc_namespace = false;  // by a path, as members of a pod do
  bool host_hooks = false;           // programs of the host run before the container's own
  // What was asked for and is left out, in words for the log.
  std::vector<std::string> notes;
};

// Errors  kNotFound       a bind mount's source or a block device does not exist
//         kUnimplemented  the host's network namespace, or a namespace of a stranger, is asked for
Result<GuestPlan> PlanGuest(const oci::Spec& spec, const PlanInput& input);

}  // namespace kata::sandbox
