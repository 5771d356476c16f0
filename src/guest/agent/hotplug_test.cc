// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/hotplug.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

class HotplugTest : public testing::Test {
 protected:
  void Put(const std::string& path, std::string_view content) {
    const std::string file = root_ + "/devices/system/" + path;
    ASSERT_TRUE(sys::MakeDirs(file.substr(0, file.rfind('/'))));
    ASSERT_TRUE(sys::WriteFile(file, content));
  }
  std::string Get(const std::string& path) {
    return sys::ReadFile(root_ + "/devices/system/" + path).value_or("<missing>");
  }

  const sys::TemporaryDir temporary_{"hotplug"};
  const std::string root_ = temporary_.path();
};

TEST_F(HotplugTest, ReadsTheBlockSizeAsHexadecimal) {
  EXPECT_EQ(MemoryBlockSize(root_), 0u);
  Put("memory/block_size_bytes", "8000000\n");
  EXPECT_EQ(MemoryBlockSize(root_), 128u << 20);
}

TEST_F(HotplugTest, SwitchesOnWhatIsOff) {
  Put("memory/memory0/state", "online\n");
  Put("memory/memory32/state", "offline\n");
  Put("memory/power/state", "offline\n");
  Put("cpu/cpu0/topology/core_id", "0\n");
  Put("cpu/cpu1/online", "0\n");
  Put("cpu/cpu2/online", "1\n");
  Put("cpu/cpuidle/online", "0\n");
  EXPECT_TRUE(OnlineMemory(root_));
  EXPECT_TRUE(OnlineCpus(root_));
  EXPECT_EQ(Get("memory/memory0/state"), "online\n");
  EXPECT_TRUE(Get("memory/memory32/state").starts_with("online"));
  EXPECT_EQ(Get("memory/power/state"), "offline\n");
  EXPECT_TRUE(Get("cpu/cpu1/online").starts_with("1"));
  EXPECT_EQ(Get("cpu/cpu2/online"), "1\n");
  EXPECT_EQ(Get("cpu/cpuidle/online"), "0\n");
}

TEST_F(HotplugTest, ListsBlocksInTheirOrder) {
  EXPECT_TRUE(MemoryBlocks(root_).empty());
  for (const char* name : {"memory32", "memory4", "memory100", "memory_x", "power"}) {
    Put(std::string("memory/") + name + "/state", "online\n");
  }
  Put("memory/memory32/state", "offline\n");
  EXPECT_EQ(MemoryBlocks(root_), (std::vector<uint32_t>{4, 32, 100}));
  EXPECT_TRUE(MemoryBlockIsOn(root_, 4));
  EXPECT_FALSE(MemoryBlockIsOn(root_, 32));
  EXPECT_FALSE(MemoryBlockIsOn(root_, 5));
}

TEST_F(HotplugTest, HasTheKernelSwitchMemoryOnByItself) {
  EXPECT_TRUE(OnlineMemoryByItself(root_)) << "where memory cannot be plugged";
  Put("memory/auto_online_blocks", "online_movable\n");
  EXPECT_TRUE(OnlineMemoryByItself(root_));
  EXPECT_EQ(Get("memory/auto_online_blocks"), "online_movable\n") << "somebody chose";
  Put("memory/auto_online_blocks", "offline\n");
  EXPECT_TRUE(OnlineMemoryByItself(root_));
  EXPECT_TRUE(Get("memory/auto_online_blocks").starts_with("online"));
}

TEST_F(HotplugTest, ProbesOnlyWhereTheKernelCan) {
  EXPECT_FALSE(SupportsMemoryProbe(root_));
  Put("memory/probe", "");
  EXPECT_TRUE(SupportsMemoryProbe(root_));
  const uint64_t address = 0x40000000;
  EXPECT_TRUE(ProbeMemory(root_, {&address, 1}));
  EXPECT_EQ(Get("memory/probe"), "0x40000000");
}

TEST(CountInList, CountsNumbersAndRanges) {
  EXPECT_EQ(CountInList("").value(), 0u);
  EXPECT_EQ(CountInList("0").value(), 1u);
  EXPECT_EQ(CountInList("0-3,7,9-10").value(), 7u);
  for (const char* bad : {"a", "1-", "-1", "3-1", "0-99999999", "1;2"}) {
    EXPECT_FALSE(CountInList(bad)) << bad;
  }
}

}  // namespace
}  // namespace kata::guest
