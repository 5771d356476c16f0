// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/guest_plan.h - from the specification that the caller gave to the one that the guest
// gets: what the host must share or attach first, and what does not cross the VM boundary.
//
// Deciding only; sandbox.cc acts on the plan.
// Basis: OCI runtime-spec config.md; Kata Containers agent protocol.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/root_check.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// What a path on the host is, as far as the plan cares.
enum class SourceKind { kMissing, kFile, kDirectory, kBlockDevice, kCharacterDevice };

// Follows symbolic links.
SourceKind ClassifySource(const std::string& path);

// The same for a path of another mount namespace, a descriptor; -1: this process's.
SourceKind ClassifySourceIn(int mount_namespace, const std::string& path);

// Of the device at `path`; 0 where there is none.
dev_t DeviceNumber(const std::string& path);
// The node below /dev of the block device with this number; empty: none.
std::string FindBlockDevice(dev_t number);

struct PlanInput {
  std::string container_id;
  std::string bundle;
  std::string container_kind;  // "single_container", "pod_sandbox" or "pod_container"
  // A member whose namespaces say which ones it joins: the others are its own.
  bool by_namespaces = false;
  bool guest_seccomp = false;  // the guest shall apply the specification's filter
  std::function<SourceKind(const std::string&)> classify = ClassifySource;
  std::function<dev_t(const std::string&)> device_number = DeviceNumber;
  std::function<std::string(dev_t)> find_block_device = FindBlockDevice;
};

// A bind mount whose source is shown to the guest through the shared directory. Its entry in
// `GuestPlan::spec.mounts` gets the guest's path as source.
struct SharedVolume {
  int mount = 0;  // index in spec.mounts
  std::string source;
  std::string destination;
  std::vector<std::string> options;
  bool overlay = false;  // of directories that the options name; there is nothing at `source`
};

// A block device of the host that the guest gets as a disk.
struct GuestDisk {
  std::string source;          // on the host
  std::string container_path;  // the device node inside the container
  bool read_only = false;
};

struct GuestPlan {
  oci::Spec spec;
  std::vector<SharedVolume> volumes;
  std::vector<GuestDisk> disks;
  bool share_pid_namespace = false;
  bool host_hooks = false;  // programs of the host run before the container's own
  // What was asked for and is left out, in words for the log.
  std::vector<std::string> notes;
};

// Errors  kNotFound       a bind mount's source or a block device does not exist
//         kUnimplemented  the host's network namespace, or a namespace of a stranger, is asked for
Result<GuestPlan> PlanGuest(const oci::Spec& spec, const PlanInput& input);

// How a container with the guest's specification `spec` will use its root file system.
storage::RootUse PlanRootUse(const oci::Spec& spec, bool host_hooks);

// Takes out ambient capabilities that are not permitted and inheritable as well, which no kernel
// raises, and says so in `notes`. runc leaves them out, too.
void RemoveVainCapabilities(oci::Process* process, std::vector<std::string>* notes);

// Takes out of `resources` what a guest cannot honour and says so in `notes`. `disks` are those of
// the container.
void RemoveHostResources(oci::LinuxResources* resources, const std::vector<GuestDisk>& disks,
                         const std::function<dev_t(const std::string&)>& device_number,
                         std::vector<std::string>* notes);

}  // namespace kata::sandbox
