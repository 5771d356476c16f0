// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/vm_plan.h - how big a sandbox's machine is, and what it is made of.
//
// Deciding only.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "host/config/config.h"
#include "host/hypervisor/vm_spec.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// Processors and memory; either what containers ask for or what a machine has.
struct MachineSize {
  uint32_t vcpus = 0;
  uint32_t memory_mib = 0;

  friend bool operator==(const MachineSize&, const MachineSize&) = default;
};

// What a container's limits ask for beyond the machine's own size: the quota rounded up to whole
// processors, the memory limit rounded up to whole MiB. No limit asks for nothing.
MachineSize SizeOf(const oci::LinuxResources& resources);

// The machine's own size from `config` and what its containers ask for, at most the configured
// maximum: a limit above what a machine can have limits nothing.
MachineSize TotalSize(const config::HypervisorConfig& config, const MachineSize& containers);

// The queue pairs of its NICs.
uint32_t QueuesOf(const config::Config& config);

// The machine without its devices and its agent channel.
hypervisor::VmSpec PlanVm(const std::string& sandbox_id, const config::Config& config,
                          const MachineSize& size, hypervisor::AcceleratorKind accelerator);

}  // namespace kata::sandbox
