// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cgroup_plan.h"

#include <ostream>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace kata::guest {

void PrintTo(const CgroupWrite& write, std::ostream* out) {
  *out << fmt::format("{}={}{}", write.file, write.value, write.optional ? " (optional)" : "");
}

namespace {

using Writes = std::vector<CgroupWrite>;

Result<Writes> Plan(const oci::LinuxResources& resources) {
  return PlanCgroup(resources, {0, 1, 2, 3});
}

TEST(PlanCgroup, WritesNothingForNoResources) { EXPECT_EQ(*Plan(oci::LinuxResources()), Writes()); }

TEST(PlanCgroup, TakesMemoryOutOfTheSwapLimit) {
  oci::LinuxResources resources;
  resources.mutable_memory()->set_limit(100 << 20);
  resources.mutable_memory()->set_swap(150 << 20);
  resources.mutable_memory()->set_reservation(50 << 20);
  EXPECT_EQ(*Plan(resources), (Writes{{"memory.swap.max", "52428800", true},
                                      {"memory.max", "104857600"},
                                      {"memory.low", "52428800"}}));
}

TEST(PlanCgroup, WritesMaxForUnlimitedMemory) {
  oci::LinuxResources resources;
  resources.mutable_memory()->set_limit(-1);
  EXPECT_EQ(*Plan(resources), (Writes{{"memory.swap.max", "max", true}, {"memory.max", "max"}}));
}

TEST(PlanCgroup, RefusesSwapLimitsThatMakeNoSense) {
  oci::LinuxResources resources;
  resources.mutable_memory()->set_swap(100);
  EXPECT_EQ(Plan(resources).error().code(), Code::kInvalidArgument);
  resources.mutable_memory()->set_limit(200);
  EXPECT_EQ(Plan(resources).error().code(), Code::kInvalidArgument);
}

TEST(PlanCgroup, TranslatesProcessorLimits) {
  oci::LinuxResources resources;
  oci::LinuxCPU* cpu = resources.mutable_cpu();
  cpu->set_shares(1024);
  cpu->set_quota(50000);
  cpu->set_cpus("0,9");
  cpu->set_mems("0");
  cpu->set_burst(1000);
  cpu->set_idle(0);
  EXPECT_EQ(*Plan(resources), (Writes{{"cpu.weight", "100"},
                                      {"cpu.max", "50000"},
                                      {"cpu.max.burst", "1000"},
                                      {"cpu.idle", "0"},
                                      {"cpuset.cpus", "0-1"}}));
  cpu->Clear();
  cpu->set_quota(-1);
  cpu->set_period(20000);
  EXPECT_EQ(*Plan(resources), (Writes{{"cpu.max", "max 20000"}}));
}

TEST(PlanCgroup, LimitsProcesses) {
  oci::LinuxResources resources;
  resources.mutable_pids()->set_limit(10);
  EXPECT_EQ(*Plan(resources), (Writes{{"pids.max", "10"}}));
  resources.mutable_pids()->set_limit(-1);
  EXPECT_EQ(*Plan(resources), (Writes{{"pids.max", "max"}}));
  resources.mutable_pids()->set_limit(0);
  EXPECT_EQ(*Plan(resources), (Writes{{"pids.max", "1"}}));
  resources.mutable_pids()->clear_limit();
  EXPECT_EQ(*Plan(resources), Writes());
}

TEST(PlanCgroup, TranslatesBlockLimits) {
  oci::LinuxResources resources;
  oci::LinuxBlockIO* io = resources.mutable_block_io();
  io->set_weight(500);
  const auto throttle = [](oci::LinuxThrottleDevice* device, uint64_t rate) {
    device->set_major(252);
    device->set_minor(16);
    device->set_rate(rate);
  };
  throttle(io->add_throttle_read_bps_device(), 1000);
  throttle(io->add_throttle_write_iops_device(), 0);
  EXPECT_EQ(*Plan(resources), (Writes{{"io.weight", "default 4950", true},
                                      {"io.bfq.weight", "default 500", true},
                                      {"io.max", "252:16 rbps=1000"},
                                      {"io.max", "252:16 wiops=max"}}));
}

TEST(PlanCgroup, LimitsHugePagesBySize) {
  oci::LinuxResources resources;
  oci::LinuxHugepageLimit* limit = resources.add_hugepage_limits();
  limit->set_pagesize("2MB");
  limit->set_limit(4 << 20);
  EXPECT_EQ(*Plan(resources),
            (Writes{{"hugetlb.2MB.max", "4194304"}, {"hugetlb.2MB.rsvd.max", "4194304", true}}));
  limit->set_pagesize("../../x");
  EXPECT_EQ(Plan(resources).error().code(), Code::kInvalidArgument);
}

TEST(PlanCgroup, WritesUnifiedFilesLastSortedAndLineByLine) {
  oci::LinuxResources resources;
  (*resources.mutable_unified())["memory.high"] = "1000";
  (*resources.mutable_unified())["io.max"] = "8:0 rbps=1\n8:16 rbps=2\n";
  resources.mutable_pids()->set_limit(5);
  EXPECT_EQ(*Plan(resources), (Writes{{"pids.max", "5"},
                                      {"io.max", "8:0 rbps=1"},
                                      {"io.max", "8:16 rbps=2"},
                                      {"memory.high", "1000"}}));
}

TEST(PlanCgroup, RefusesUnifiedNamesThatAreNoControllersFiles) {
  for (const char* name : {"../memory.max", "memory", "", "cgroup.procs", "a/b.c"}) {
    oci::LinuxResources resources;
    (*resources.mutable_unified())[name] = "1";
    EXPECT_FALSE(Plan(resources)) << name;
  }
}

TEST(WeightFromShares, KeepsTheDefaultAndTheEndsOfTheRange) {
  EXPECT_EQ(WeightFromShares(0), 0u);
  EXPECT_EQ(WeightFromShares(1), 1u);
  EXPECT_EQ(WeightFromShares(2), 1u);
  EXPECT_EQ(WeightFromShares(100), 17u);
  EXPECT_EQ(WeightFromShares(1024), 100u);
  EXPECT_EQ(WeightFromShares(262144), 10000u);
  EXPECT_EQ(WeightFromShares(UINT64_MAX), 10000u);
}

TEST(WeightFromBlkio, KeepsTheEndsOfTheRange) {
  EXPECT_EQ(WeightFromBlkio(0), 0u);
  EXPECT_EQ(WeightFromBlkio(10), 1u);
  EXPECT_EQ(WeightFromBlkio(1000), 10000u);
}

TEST(PlanCgroupPath, RemovesWhatWouldLeaveTheHierarchy) {
  EXPECT_EQ(PlanCgroupPath("/kubepods/pod1/c1", "id"), "kubepods/pod1/c1");
  EXPECT_EQ(PlanCgroupPath("/../../etc/./x//", "id"), "etc/x");
  EXPECT_EQ(PlanCgroupPath("", "id"), "id");
  EXPECT_EQ(PlanCgroupPath("/..", "id"), "id");
}

TEST(PlanCgroupPath, UnderstandsSystemdsForm) {
  EXPECT_EQ(PlanCgroupPath("system.slice:docker:abc", "id"), "system.slice/docker-abc.scope");
  EXPECT_EQ(PlanCgroupPath("::abc", "id"), "abc.scope");
}

}  // namespace
}  // namespace kata::guest
