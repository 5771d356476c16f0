// SPDX-License-Identifier: Apache-2.0
//
// qemu/argv.h - a VmSpec as a QEMU command line. Nothing is opened or started; of the outside only
// the type of a disk's descriptor is looked at.
//
// The line is understood by QEMU 7.2 and 10 alike, so no version has to be asked for first.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/hypervisor/vm_spec.h"
#include "sys/process.h"

namespace kata::hypervisor::qemu {

// QEMU's ends of the connections that the driver makes, by descriptor number in this process.
struct Channels {
  int qmp = -1;
  int console = -1;
  int agent = -1;   // virtio-serial only
  int serial = -1;  // VmSpec::debug_console only
};

struct CommandLine {
  std::vector<std::string> argv;
  std::vector<sys::FdMapping> fds;  // for sys::Command; descriptors stay the spec's
  // Slots and LUNs that the spec's devices took, those of a running machine not counted.
  uint32_t cold_pci_devices = 0;
  uint32_t luns = 0;
  // Descriptors by their numbers in QEMU: of the memory, of each module, of disks by id, which are
  // those of their sets, too.
  std::optional<int> memory_fd;
  std::vector<int> module_fds;
  std::map<std::string, int> disk_fds;
};

// What no QEMU could run: sizes, ids, limits, contradictions. Reads nothing but `spec`.
// Errors  kInvalidArgument, kOutOfRange  naming the value and its bounds
Result<void> ValidateSpec(const VmSpec& spec);

// The kernel's command line: what the driver needs, then VmSpec::kernel_params.
std::string KernelCommandLine(const VmSpec& spec);

// The parts of the command line that the state of a running VM depends on.
std::string StateKey(const VmSpec& spec);

// `spec` must be valid, each Disk must have its `fd`, and an `image` must be the first device.
CommandLine BuildCommandLine(const VmSpec& spec, const Channels& channels);

}  // namespace kata::hypervisor::qemu
