// SPDX-License-Identifier: Apache-2.0
#include "host/plan/vm_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

TEST(MachineSize, RoundsLimitsUp) {
  oci::LinuxResources resources;
  EXPECT_EQ(SizeOf(resources), MachineSize());
  resources.mutable_cpu()->set_quota(150'000);
  resources.mutable_memory()->set_limit((64 << 20) + 1);
  EXPECT_EQ(SizeOf(resources), (MachineSize{.vcpus = 2, .memory_mib = 65}));
  resources.mutable_cpu()->set_period(50'000);
  EXPECT_EQ(SizeOf(resources).vcpus, 3u);
  resources.mutable_cpu()->set_quota(-1);
  resources.mutable_memory()->set_limit(-1);
  EXPECT_EQ(SizeOf(resources), MachineSize());
}

TEST(MachineSize, LimitsWithoutMeasureDoNotWrap) {
  oci::LinuxResources resources;
  resources.mutable_memory()->set_limit(INT64_MAX);
  resources.mutable_cpu()->set_quota(INT64_MAX);
  resources.mutable_cpu()->set_period(UINT64_MAX);
  EXPECT_EQ(SizeOf(resources), (MachineSize{.vcpus = 1, .memory_mib = UINT32_MAX}));
  resources.mutable_cpu()->set_period(1);
  EXPECT_EQ(SizeOf(resources).vcpus, UINT32_MAX);
  config::HypervisorConfig config;
  config.default_vcpus = 1;
  config.default_maxvcpus = 2;
  config.default_memory_mib = 2048;
  config.default_maxmemory_mib = 24105;
  const MachineSize other{.vcpus = 1, .memory_mib = 512};
  EXPECT_EQ(TotalSize(config, SizeOf(resources) + other), MostSize(config))
      << "one limit without measure beside another";
}

TEST(MachineSize, AddsTheMachinesOwnAndKeepsToItsMaximum) {
  config::HypervisorConfig config;
  config.default_vcpus = 1;
  config.default_maxvcpus = 4;
  config.default_memory_mib = 256;
  config.default_maxmemory_mib = 4096;
  EXPECT_EQ(TotalSize(config, {.vcpus = 2, .memory_mib = 512}),
            (MachineSize{.vcpus = 3, .memory_mib = 768}));
  EXPECT_EQ(TotalSize(config, {.vcpus = UINT32_MAX, .memory_mib = UINT32_MAX}),
            (MachineSize{.vcpus = 4, .memory_mib = 4096}));
}

TEST(VmPlan, FollowsTheConfiguration) {
  config::Config config;
  config.hypervisor.path = "/usr/bin/qemu";
  config.hypervisor.kernel_params = "a=1  b=2";
  config.hypervisor.default_maxvcpus = 4;
  config.hypervisor.pcie_root_port = 7;
  config.agent.enable_debug = true;
  config.agent.container_pipe_size_bytes = 4096;
  const hypervisor::VmSpec vm =
      PlanVm("s1", config, {.vcpus = 2, .memory_mib = 300}, hypervisor::AcceleratorKind::kTcg);
  EXPECT_EQ(vm.id, "s1");
  EXPECT_EQ(vm.cpus.boot, 2u);
  EXPECT_EQ(vm.cpus.max, 4u);
  EXPECT_EQ(vm.memory.boot_mib, 300u);
  EXPECT_TRUE(vm.memory.shared);
  EXPECT_THAT(vm.kernel_params, testing::ElementsAre("a=1", "b=2", "agent.log=debug",
                                                     "agent.container_pipe_size=4096"));
  EXPECT_EQ(vm.hotplug_ports, 7u);
}

// Copies of one template must not punch holes in it.
TEST(VmPlan, SharesMemoryForSharedFilesAndGivesPagesBackWhereItMay) {
  const auto plan = [](const config::Config& config) {
    return PlanVm("s1", config, {.vcpus = 1, .memory_mib = 300}, hypervisor::AcceleratorKind::kTcg);
  };
  config::Config config;
  EXPECT_TRUE(plan(config).memory.shared);
  EXPECT_TRUE(plan(config).free_page_reporting);
  config.hypervisor.shared_fs = "none";
  EXPECT_FALSE(plan(config).memory.shared);
  EXPECT_FALSE(plan(config).free_page_reporting);
  config.factory.enable_template = false;
  EXPECT_TRUE(plan(config).free_page_reporting);
  config.hypervisor.reclaim_guest_freed_memory = false;
  EXPECT_FALSE(plan(config).free_page_reporting);
}

}  // namespace
}  // namespace kata::sandbox
