// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/memory_plan.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::hypervisor::qemu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Growth {
  const char* what;
  uint32_t now;
  uint32_t max;
  uint32_t wanted;
  uint32_t reached;
  bool short_of;
};

// A host of 24 GB has 24105 MiB.
constexpr Growth kGrowths[] = {
    {"nothing is missing", 2048, 24105, 2048, 2048, false},
    {"less than there is", 2048, 24105, 100, 2048, false},
    {"a block", 2048, 24105, 2049, 2176, false},
    {"whole blocks", 2048, 24105, 12288, 12288, false},
    {"rounded up where there is room", 256, 1024, 500, 512, false},
    {"rounded down where there is none", 256, 1001, 1001, 896, true},
    {"2 GiB and 20 of 23.5", 2048, 24105, 22528, 22528, false},
    {"2 GiB and 21 of 23.5", 2048, 24105, 23552, 23552, false},
    {"2 GiB and 22 of 23.5", 2048, 24105, 24105, 24064, true},
    {"more than it can have", 2048, 24105, UINT32_MAX, 24064, true},
    {"the last block", 2048, 2176, 2100, 2176, false},
    {"less than a block is left", 2048, 2150, 2150, 2048, true},
    {"an odd beginning", 1000, 4096, 1100, 1128, false},
    {"at its end already", 4096, 4096, 8192, 4096, true},
    {"a maximum below what there is", 4096, 2048, 8192, 4096, true},
    {"large numbers", 2048, 16 << 20, UINT32_MAX, 16 << 20, true},
};

uint32_t Reached(uint32_t now, const MemoryPlan& plan) {
  return std::accumulate(plan.modules_mib.begin(), plan.modules_mib.end(), now);
}

TEST(PlanMemory, GrowsAsFarAsItGoes) {
  for (const Growth& each : kGrowths) {
    const MemoryPlan plan = PlanMemory(
        {.now_mib = each.now, .max_mib = each.max, .slots = 10, .slots_used = 0}, each.wanted);
    EXPECT_EQ(Reached(each.now, plan), each.reached) << each.what;
    EXPECT_EQ(!plan.shortfall.empty(), each.short_of) << each.what << ": " << plan.shortfall;
  }
}

TEST(PlanMemory, StaysWithinTheMaximumInWholeBlocksWhateverIsWanted) {
  for (uint32_t now = 64; now < 3000; now += 61) {
    for (uint32_t max = now; max < 5000; max += 97) {
      for (uint32_t wanted = 0; wanted < 6000; wanted += 89) {
        const MemoryPlan plan =
            PlanMemory({.now_mib = now, .max_mib = max, .slots = 10, .slots_used = 0}, wanted);
        const uint32_t reached = Reached(now, plan);
        ASSERT_LE(reached, max);
        ASSERT_EQ((reached - now) % kMemoryBlockMib, 0u);
        ASSERT_TRUE(reached >= wanted || !plan.shortfall.empty());
        ASSERT_TRUE(reached >= wanted || max - reached < kMemoryBlockMib);
      }
    }
  }
}

TEST(PlanMemory, PlugsSmallModulesFirstForTheGuestHasToAccountForThem) {
  const MemoryRoom room{.now_mib = 256, .max_mib = 65536, .slots = 10, .slots_used = 0};
  EXPECT_THAT(PlanMemory(room, 2048).modules_mib, ElementsAre(1792));
  EXPECT_THAT(PlanMemory(room, 20736).modules_mib, ElementsAre(2048, 18432));
  EXPECT_THAT(PlanMemory(room, 40000).modules_mib, ElementsAre(2048, 18432, 19328));
}

TEST(PlanMemory, SaysWhenTheSlotsAreUsedUp) {
  MemoryRoom room{.now_mib = 256, .max_mib = 65536, .slots = 3, .slots_used = 2};
  const MemoryPlan part = PlanMemory(room, 20736);
  EXPECT_THAT(part.modules_mib, ElementsAre(2048));
  EXPECT_THAT(part.shortfall, HasSubstr("all 3 memory slots"));
  room.slots_used = 3;
  EXPECT_THAT(PlanMemory(room, 20736).modules_mib, IsEmpty());
  EXPECT_THAT(PlanMemory(room, 20736).shortfall, HasSubstr("all 3 memory slots"));
  EXPECT_THAT(PlanMemory(room, 256).shortfall, IsEmpty());
  room.slots = 0;
  EXPECT_THAT(PlanMemory(room, 512).shortfall, HasSubstr("without memory slots"));
}

}  // namespace
}  // namespace kata::hypervisor::qemu
