// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/memory_plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace kata::hypervisor::qemu {
namespace {

constexpr uint64_t kMostGrowth = 8;

uint64_t RoundDown(uint64_t mib) { return mib / kMemoryBlockMib * kMemoryBlockMib; }
uint64_t RoundUp(uint64_t mib) { return RoundDown(mib + kMemoryBlockMib - 1); }

}  // namespace

MemoryPlan PlanMemory(const MemoryRoom& room, uint32_t wanted_mib) {
  MemoryPlan plan;
  if (wanted_mib <= room.now_mib) return plan;
  const uint64_t missing = wanted_mib - room.now_mib;
  const uint64_t space = room.max_mib > room.now_mib ? room.max_mib - room.now_mib : 0;
  uint64_t left = std::min(RoundUp(missing), RoundDown(space));
  if (left < missing) {
    plan.shortfall = fmt::format("a VM that was started for up to {} MiB grows in blocks of {} MiB",
                                 room.max_mib, kMemoryBlockMib);
  }
  if (room.slots == 0) {
    plan.shortfall = "the VM was started without memory slots";
    return plan;
  }
  uint64_t now = room.now_mib;
  for (uint32_t used = room.slots_used; left > 0; ++used) {
    if (used >= room.slots) {
      plan.shortfall = fmt::format("all {} memory slots of the VM are in use", room.slots);
      break;
    }
    const uint64_t most = std::max<uint64_t>(RoundDown(now * kMostGrowth), kMemoryBlockMib);
    const uint64_t module = std::min(left, most);
    plan.modules_mib.push_back(static_cast<uint32_t>(module));
    now += module;
    left -= module;
  }
  return plan;
}

}  // namespace kata::hypervisor::qemu
