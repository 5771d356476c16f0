// SPDX-License-Identifier: Apache-2.0
//
// host/plan/vm_plan.h - how big a sandbox's machine is, and what it is made of.
//
// Deciding only.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "host/config/config.h"
#include "host/hypervisor/vm_spec.h"
#include "host/record/size_report.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// What a container's limits ask for beyond the machine's own size: the quota rounded up to whole
// processors, the memory limit rounded up to whole MiB. No limit asks for nothing.
MachineSize SizeOf(const oci::LinuxResources& resources);

// The machine's own size from `config` and what its containers ask for, whether a machine can have
// it or not.
MachineSize AskedSize(const config::HypervisorConfig& config, const MachineSize& containers);
// What a machine can have by `config`.
MachineSize MostSize(const config::HypervisorConfig& config);
// The smaller of the two: a limit above what a machine can have limits nothing.
MachineSize TotalSize(const config::HypervisorConfig& config, const MachineSize& containers);

// The queue pairs of its NICs.
uint32_t QueuesOf(const config::Config& config);

// The machine without its devices and its agent channel.
hypervisor::VmSpec PlanVm(const std::string& sandbox_id, const config::Config& config,
                          const MachineSize& size, hypervisor::AcceleratorKind accelerator);

}  // namespace kata::sandbox
