// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/cgroup/cgroup_plan.h - which files of a version 2 cgroup get which values.
//
// Pure: the specification speaks version 1, the guest has version 2, and this is the translation.
// Basis: OCI runtime-spec config-linux.md "Control groups"; the kernel's cgroup-v2.rst.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::guest {

// One write(2) into one control file.
struct CgroupWrite {
  std::string file;   // such as "memory.max"
  std::string value;  // such as "67108864"
  // A kernel without that file has nothing to limit there, so its absence is no error.
  bool optional = false;

  bool operator==(const CgroupWrite&) const = default;
};

// In the order of writing. Device rules are not here: they become a program (device_filter.h).
// Swappiness, kernel memory, the OOM killer's switch, realtime scheduling and network classes have
// no counterpart in version 2 and give nothing.
// The guest has one memory node, so cpu.mems asks for nothing.
//
// `cpus` are the guest's processors: cpu.cpus is fitted to them, see cpu_list.h.
// Errors  kInvalidArgument  swap below memory, a file name of `unified` that is a path, ...
Result<std::vector<CgroupWrite>> PlanCgroup(const oci::LinuxResources& resources,
                                            const std::vector<int>& cpus);

// cpu.shares (2..262144) to cpu.weight (1..10000), such that the default of 1024 is that of 100; 0
// stays 0, which means unset. runc counts so since 1.3.2.
uint64_t WeightFromShares(uint64_t shares);
// blkio.weight (10..1000) to io.weight (1..10000); 0 stays 0.
uint64_t WeightFromBlkio(uint64_t weight);

// Where below the hierarchy's root the container's cgroup goes, without a leading slash:
// `cgroups_path` without empty, "." and ".." components, or `id` if nothing is left.
// "slice:prefix:name", systemd's form, becomes "slice/prefix-name.scope".
std::string PlanCgroupPath(std::string_view cgroups_path, std::string_view id);

}  // namespace kata::guest
