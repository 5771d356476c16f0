// SPDX-License-Identifier: Apache-2.0
//
// Needs root and a machine whose version 2 cgroups have controllers, as our guest's do.
#include <sys/wait.h>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "guest/agent/container/container_test_bed.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class LimitsTest : public ExecTest {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    const auto controllers = sys::ReadFile(CgroupRootOfMachine() + "/cgroup.controllers");
    if (!controllers || controllers->find("memory") == std::string::npos) {
      GTEST_SKIP() << "the version 2 hierarchy of this machine has no memory controller";
    }
  }
  std::string Control(const char* file) {
    return sys::ReadFile(fmt::format("{}/{}", container_->cgroup_path(), file)).value_or("missing");
  }
  oci::LinuxResources* resources() { return linux_part()->mutable_resources(); }
};

TEST_F(LimitsTest, AppliesWhatTheSpecSaysAndWhatIsUpdatedLater) {
  resources()->mutable_memory()->set_limit(64 << 20);
  resources()->mutable_cpu()->set_quota(50000);
  resources()->mutable_cpu()->set_shares(512);
  resources()->mutable_cpu()->set_cpus("0");
  resources()->mutable_pids()->set_limit(20);
  Begin();
  EXPECT_EQ(Control("memory.max"), "67108864\n");
  EXPECT_EQ(Control("cpu.max"), "50000 100000\n");
  EXPECT_EQ(Control("cpu.weight"), "59\n");
  EXPECT_EQ(Control("cpuset.cpus"), "0\n");
  EXPECT_EQ(Control("pids.max"), "20\n");

  oci::LinuxResources update;
  update.mutable_memory()->set_limit(128 << 20);
  update.mutable_cpu()->set_quota(-1);
  ASSERT_TRUE(container_->Update(update));
  EXPECT_EQ(Control("memory.max"), "134217728\n");
  EXPECT_EQ(Control("cpu.max"), "max 100000\n");
  EXPECT_EQ(Control("pids.max"), "20\n");

  const auto stats = container_->Stats();
  ASSERT_TRUE(stats);
  EXPECT_GT(stats->cgroup_stats().memory_stats().usage().usage(), 0u);
  EXPECT_EQ(stats->cgroup_stats().memory_stats().usage().limit(), 128u << 20);
  EXPECT_EQ(stats->cgroup_stats().pids_stats().current(), 1u);
  EXPECT_EQ(stats->cgroup_stats().pids_stats().limit(), 20u);
}

TEST_F(LimitsTest, SwapAloneIsUpdatedBesideTheLimitOfMemoryThatStays) {
  resources()->mutable_memory()->set_limit(64 << 20);
  Begin();
  oci::LinuxResources update;
  update.mutable_memory()->set_swap(96 << 20);
  ASSERT_TRUE(container_->Update(update));
  EXPECT_EQ(Control("memory.max"), "67108864\n");
  // Not every kernel has swap.
  EXPECT_THAT(Control("memory.swap.max"), AnyOf("33554432\n", "missing"));
}

TEST_F(LimitsTest, ALimitBelowWhatIsInUseIsRejectedWhereItIsToBeChecked) {
  Begin();
  oci::LinuxResources update;
  update.mutable_memory()->set_check_before_update(true);
  update.mutable_memory()->set_limit(1024);
  EXPECT_THAT(container_->Update(update).error().message(),
              HasSubstr("rejecting memory limit 1024 <"));
  update.mutable_memory()->set_swap(2048);
  EXPECT_THAT(container_->Update(update).error().message(),
              HasSubstr("rejecting memory+swap limit 2048 <"));
}

TEST_F(LimitsTest, MemoryBeyondTheLimitKillsAndIsCounted) {
  resources()->mutable_memory()->set_limit(16 << 20);
  Begin();
  EXPECT_EQ(*container_->OomKills(), 0u);
  // tail keeps its input, which has no line end, in memory.
  oci::Process eater = Script("");
  SetArgs(&eater, {"tail", "/dev/zero"});
  const Outcome outcome = Exec(eater);
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_TRUE(WIFSIGNALED(outcome.status));
  EXPECT_EQ(WTERMSIG(outcome.status), SIGKILL);
  EXPECT_GT(*container_->OomKills(), 0u);
  EXPECT_EQ(Exec(Script("echo alive")).out, "alive\n");
}

TEST_F(LimitsTest, ProcessesBeyondTheLimitAreRefused) {
  resources()->mutable_pids()->set_limit(5);
  Begin();
  const Outcome outcome =
      Exec(Script("for i in 1 2 3 4 5 6 7 8; do sleep 100 >/dev/null 2>&1 & done; echo all"));
  EXPECT_THAT(outcome.out, HasSubstr("can't fork"));
  // The limit also holds for what the agent puts in.
  const auto pids = container_->Pids();
  ASSERT_TRUE(pids);
  EXPECT_LE(pids->size(), 5u);
}

TEST_F(LimitsTest, DevicesOutsideOfTheRulesCannotBeOpened) {
  oci::LinuxDevice* device = linux_part()->add_devices();
  device->set_path("/dev/kmsg");
  device->set_type("c");
  device->set_major(1);
  device->set_minor(11);
  oci::LinuxDeviceCgroup* deny = resources()->add_devices();
  deny->set_type("a");
  deny->set_major(-1);
  deny->set_minor(-1);
  deny->set_access("rwm");
  EXPECT_THAT(RunScript("head -c 1 /dev/kmsg || echo refused; head -c 3 /dev/zero && echo ok"),
              testing::AllOf(HasSubstr("refused"), HasSubstr("ok")));
  oci::LinuxDeviceCgroup* allow = resources()->add_devices();
  *allow = *deny;
  allow->set_allow(true);
  EXPECT_THAT(RunScript("echo x > /dev/kmsg && echo ok"), HasSubstr("ok"));
}

TEST_F(LimitsTest, ProcessesStartAlsoWhereTheContainerMadeCgroupsOfItsOwn) {
  AddMount("/sys", "sysfs", "sysfs", {});
  AddMount("/sys/fs/cgroup", "cgroup", "cgroup", {});
  Begin();
  const std::string own = container_->cgroup_path();
  ASSERT_TRUE(sys::MakeDirs(own + "/inner"));
  ASSERT_TRUE(sys::WriteControl(own + "/inner/cgroup.procs", fmt::to_string(init_)));
  ASSERT_TRUE(sys::WriteControl(own + "/cgroup.subtree_control", "+memory"));
  const Outcome outcome = Exec(Script("cat /proc/self/cgroup"));
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "0::/inner\n");
}

TEST_F(LimitsTest, ContainersMakeCgroupsWithLimitsWhereTheirFirstProcessHasOneOfItsOwn) {
  AddMount("/sys", "sysfs", "sysfs", {});
  AddMount("/sys/fs/cgroup", "cgroup", "cgroup", {});
  process()->set_cgroup("/init");
  Begin();
  const std::string own = container_->cgroup_path();
  EXPECT_EQ(sys::ReadFile(own + "/cgroup.subtree_control").value(),
            sys::ReadFile(own + "/cgroup.controllers").value());
  const Outcome outcome =
      Exec(Script("cat /proc/self/cgroup /proc/1/cgroup /sys/fs/cgroup/cgroup.procs"));
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "0::/init\n0::/init\n");
}

}  // namespace
}  // namespace kata::guest
