// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/mount_plan.h - a spec's mounts, checked and sorted into kinds.
//
// Basis: OCI runtime-spec config.md "Mounts", config-linux.md "Default Filesystems".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"
#include "sys/mount_options.h"

namespace kata::guest {

struct PlannedMount {
  enum class Kind {
    kBind,
    kKernel,  // proc or sysfs: only over an ordinary directory, never through a symbolic link
    kCgroup,
    kTmpfs,
    kOther,
  };
  Kind kind = Kind::kOther;
  std::string type;  // as the kernel calls it; empty for binds
  std::string source;
  std::string destination;  // absolute in the container
  sys::MountOptions options;
};

// In the order of the spec.
// Errors  kInvalidArgument  no destination, a bind without a source, ...
//         kUnimplemented    mapped mounts ("idmap")
Result<std::vector<PlannedMount>> PlanMounts(const oci::Spec& spec);

// Whether something may be mounted over `name`, a path inside the container's /proc: only files
// that are there to be replaced by what a resource view (lxcfs) offers.
bool MayCoverInProc(std::string_view name);

// True when /dev is the container's own and gets the default nodes: that is, unless a mount binds
// another directory there.
bool NeedsDevices(const std::vector<PlannedMount>& mounts);

}  // namespace kata::guest
