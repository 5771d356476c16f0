// SPDX-License-Identifier: Apache-2.0
//
// Against a directory that looks like a cgroup hierarchy.
#include "guest/agent/cgroup/cgroup_dir.h"

#include <filesystem>
#include <limits>

#include <gtest/gtest.h>

#include "guest/agent/cgroup/cgroup_stats.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

class CgroupDirTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "cgroup-test-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& file, std::string_view text) {
    ASSERT_TRUE(sys::MakeDirs(root_ + "/c"));
    ASSERT_TRUE(sys::WriteFile(root_ + "/c/" + file, text));
  }
  std::string Read(const std::string& file) { return *sys::ReadFile(root_ + "/" + file); }

  std::string root_;
};

TEST_F(CgroupDirTest, OffersEveryControllerAlongTheWay) {
  ASSERT_TRUE(sys::WriteFile(root_ + "/cgroup.controllers", "cpu memory\n"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/cgroup.subtree_control", ""));
  ASSERT_TRUE(CgroupDir::Create(root_, "a/b"));
  EXPECT_TRUE(sys::Exists(root_ + "/a/b"));
  // A plain file keeps both writes, the second over the first.
  EXPECT_EQ(Read("cgroup.subtree_control"), "+memory");
}

TEST_F(CgroupDirTest, RefusesACgroupThatIsInUse) {
  Write("cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_EQ(CgroupDir::Create(root_, "c").error().code(), Code::kAlreadyExists);
}

TEST_F(CgroupDirTest, WritesPlannedValuesAndSkipsOptionalFilesThatAreMissing) {
  Write("memory.max", "max\n");
  auto cgroup = CgroupDir::Create(root_, "c");
  ASSERT_TRUE(cgroup);
  EXPECT_TRUE(cgroup->Apply({{"memory.swap.max", "0", true}, {"memory.max", "100"}}));
  EXPECT_EQ(Read("c/memory.max"), "100\n");
  EXPECT_EQ(cgroup->Apply({{"pids.max", "1"}}).error().code(), Code::kNotFound);
}

TEST_F(CgroupDirTest, ReadsTheQuota) {
  Write("cpu.max", "500000 1000000\n");
  EXPECT_EQ(*CgroupDir::Create(root_, "c")->CpuQuota(), 500000);
  Write("cpu.max", "max 100000\n");
  EXPECT_EQ(*CgroupDir::Create(root_, "c")->CpuQuota(), -1);
}

TEST_F(CgroupDirTest, ReadsStatesAndProcesses) {
  Write("cgroup.events", "populated 0\nfrozen 1\n");
  Write("memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n");
  Write("cgroup.procs", "12\n7\n0\n");
  ASSERT_TRUE(sys::MakeDirs(root_ + "/c/inner"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/c/inner/cgroup.procs", "9\n12\n"));
  auto cgroup = CgroupDir::Create(root_, "c");
  ASSERT_TRUE(cgroup);
  EXPECT_TRUE(*cgroup->Frozen());
  EXPECT_FALSE(*cgroup->Populated());
  EXPECT_EQ(*cgroup->OomKills(), 1u);
  EXPECT_EQ(*cgroup->Pids(), (std::vector<pid_t>{7, 9, 12}));
}

TEST_F(CgroupDirTest, RemovesInnerCgroupsAndEmptyParents) {
  auto cgroup = CgroupDir::Create(root_, "a/b/c");
  ASSERT_TRUE(cgroup);
  ASSERT_TRUE(sys::MakeDirs(root_ + "/a/b/c/d/e"));
  EXPECT_TRUE(cgroup->Remove());
  EXPECT_FALSE(sys::Exists(root_ + "/a"));
  EXPECT_TRUE(sys::Exists(root_));
  EXPECT_TRUE(cgroup->Remove());
}

TEST_F(CgroupDirTest, KillsBeforeItAsksToBeRemovedAgain) {
  auto cgroup = CgroupDir::Create(root_, "c");
  ASSERT_TRUE(cgroup);
  Write("cgroup.events", "populated 1\n");
  Write("cgroup.kill", "");
  EXPECT_EQ(cgroup->Remove().error().code(), Code::kUnavailable);
  EXPECT_EQ(Read("c/cgroup.kill"), "1");
}

TEST_F(CgroupDirTest, ReadsFigures) {
  Write("cpu.stat",
        "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\n"
        "throttled_usec 7\n");
  Write("memory.current", "1000\n");
  Write("memory.peak", "2000\n");
  Write("memory.max", "3000\n");
  Write("memory.swap.current", "10\n");
  Write("memory.swap.max", "500\n");
  Write("memory.stat", "anon 600\nfile 400\nkernel 50\n");
  Write("memory.events", "max 3\noom_kill 2\n");
  Write("pids.current", "4\n");
  Write("pids.max", "max\n");
  Write("io.stat", "252:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
  Write("hugetlb.2MB.current", "2097152\n");
  Write("hugetlb.2MB.events", "max 1\n");
  Write("hugetlb.2MB.rsvd.current", "0\n");
  const auto stats = ReadCgroupStats(root_ + "/c");
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->cpu_stats().cpu_usage().total_usage(), 30000u);
  EXPECT_EQ(stats->cpu_stats().throttling_data().throttled_time(), 7000u);
  const agent::MemoryStats& memory = stats->memory_stats();
  EXPECT_EQ(memory.stats().at("oom_kill"), 2u);
  EXPECT_EQ(memory.usage().usage(), 1000u);
  EXPECT_EQ(memory.usage().max_usage(), 2000u);
  EXPECT_EQ(memory.usage().limit(), 3000u);
  EXPECT_EQ(memory.usage().failcnt(), 3u);
  EXPECT_EQ(memory.swap_usage().usage(), 1010u);
  EXPECT_EQ(memory.swap_usage().limit(), 3500u);
  EXPECT_EQ(memory.cache(), 400u);
  EXPECT_EQ(memory.stats().at("anon"), 600u);
  EXPECT_EQ(stats->pids_stats().current(), 4u);
  EXPECT_EQ(stats->pids_stats().limit(), 0u);
  ASSERT_EQ(stats->blkio_stats().io_service_bytes_recursive_size(), 3);
  EXPECT_EQ(stats->blkio_stats().io_service_bytes_recursive(1).op(), "Write");
  EXPECT_EQ(stats->blkio_stats().io_service_bytes_recursive(1).value(), 20u);
  EXPECT_EQ(stats->blkio_stats().io_serviced_recursive(0).major(), 252u);
  ASSERT_EQ(stats->hugetlb_stats().size(), 1u);
  EXPECT_EQ(stats->hugetlb_stats().at("2MB").usage(), 2097152u);
  EXPECT_EQ(stats->hugetlb_stats().at("2MB").failcnt(), 1u);
}

TEST_F(CgroupDirTest, FiguresThatAreMissingAreEmptyAndLimitsNone) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/c"));
  const auto stats = ReadCgroupStats(root_ + "/c");
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->memory_stats().usage().usage(), 0u);
  EXPECT_EQ(stats->memory_stats().usage().limit(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ReadCgroupStats(root_ + "/none").error().code(), Code::kNotFound);
}

TEST(NetDev, GivesEachInterfaceButTheLoopbackOne) {
  agent::StatsContainerResponse stats;
  ParseNetDev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop\n"
      "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
      "  eth0:  100    2    3    4    0     0          0         0  500       6    7    8    0\n",
      &stats);
  ASSERT_EQ(stats.network_stats_size(), 1);
  const agent::NetworkStats& network = stats.network_stats(0);
  EXPECT_EQ(network.name(), "eth0");
  EXPECT_EQ(network.rx_bytes(), 100u);
  EXPECT_EQ(network.rx_dropped(), 4u);
  EXPECT_EQ(network.tx_bytes(), 500u);
  EXPECT_EQ(network.tx_dropped(), 8u);
}

}  // namespace
}  // namespace kata::guest
