// SPDX-License-Identifier: Apache-2.0
//
// host/plan/guest_limits.h - what limits ask for and no guest can honour.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "proto/oci.pb.h"

namespace kata::sandbox {

// A block device of the host that the guest gets as a disk.
struct GuestDisk {
  std::string source;          // on the host
  std::string container_path;  // the device node inside the container
  bool read_only = false;
};

// Takes out of `resources` what a guest cannot honour and says so in `notes`. `disks` are those of
// the container.
void RemoveHostResources(oci::LinuxResources* resources, const std::vector<GuestDisk>& disks,
                         const std::function<dev_t(const std::string&)>& device_number,
                         std::vector<std::string>* notes);

// For a container that has the limits of another one: those of `wanted`, and none where it names
// none. A limit of memory below what is in use is refused.
oci::LinuxResources LimitsAnew(const oci::LinuxResources& wanted);

}  // namespace kata::sandbox
