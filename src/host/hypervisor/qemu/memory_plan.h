// SPDX-License-Identifier: Apache-2.0
//
// qemu/memory_plan.h - with what modules a running machine's memory grows.
//
// Deciding only. Basis: QEMU docs/memory-hotplug.txt; the kernel's memory-hotplug.rst.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kata::hypervisor::qemu {

// Linux takes memory in blocks of this size on x86-64 (guests that began with up to 64 GiB).
inline constexpr uint32_t kMemoryBlockMib = 128;

// A machine's memory as it is.
struct MemoryRoom {
  uint32_t now_mib = 0;
  uint32_t max_mib = 0;  // that it was started for, `now_mib` included
  uint32_t slots = 0;    // for modules; those in use included
  uint32_t slots_used = 0;
};

struct MemoryPlan {
  std::vector<uint32_t> modules_mib;  // to be plugged in this order; whole blocks each
  std::string shortfall;              // why that is less than what was wanted; empty where not
};

// Modules that bring the machine to `wanted_mib`, rounded up to whole blocks, or as near as it can
// come. A module is at most eight times as big as what is there by then: the guest keeps an account
// of each page, one 64th of the module, in the memory that it has.
MemoryPlan PlanMemory(const MemoryRoom& room, uint32_t wanted_mib);

}  // namespace kata::hypervisor::qemu
