// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/saved_vm.h"

namespace kata::hypervisor {

MachineShape ShapeOf(const VmSpec& spec) {
  return {.accelerator = spec.accelerator,
          .vsock = std::holds_alternative<VsockChannel>(spec.agent),
          .boot_mib = spec.memory.boot_mib,
          .memory_slots = spec.memory.hotplug_slots,
          .max_mib = spec.memory.max_mib,
          .modules = {},
          .boot_vcpus = spec.cpus.boot,
          .vcpus = spec.cpus.boot,
          .max_vcpus = spec.cpus.max,
          .hotplug_ports = spec.hotplug_ports,
          .free_page_reporting = spec.free_page_reporting,
          .debug_console = spec.debug_console,
          .devices = {}};
}

void GiveShape(const MachineShape& shape, VmSpec* spec) {
  spec->restored = true;
  spec->accelerator = shape.accelerator;
  spec->memory.boot_mib = shape.boot_mib;
  spec->memory.hotplug_slots = shape.memory_slots;
  spec->memory.max_mib = shape.max_mib;
  spec->memory.huge_pages = false;
  spec->memory.preallocate = false;
  spec->cpus.boot = shape.boot_vcpus;
  spec->cpus.max = shape.max_vcpus;
  spec->cpus.plugged = shape.vcpus - shape.boot_vcpus;
  spec->hotplug_ports = shape.hotplug_ports;
  spec->free_page_reporting = shape.free_page_reporting;
  spec->debug_console = shape.debug_console;
}

}  // namespace kata::hypervisor
