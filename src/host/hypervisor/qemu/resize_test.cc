// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "host/hypervisor/qemu/fake_monitor.h"

namespace kata::hypervisor::qemu {
namespace {

class Resize : public FakeMonitorTest {
 protected:
  void SetUp() override {
    VmSpec spec;
    spec.cpus = {.boot = 1, .max = 4};
    spec.memory = {.boot_mib = 256, .hotplug_slots = 4, .max_mib = 2048};
    Start(std::move(spec));
  }
};

TEST_F(Resize, AddsProcessorsAndMemory) {
  const auto grown = vm_->Resize({.vcpus = 3, .memory_mib = 512}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.vcpus, 3u);
  EXPECT_EQ(grown->now.memory_mib, 512u);
  EXPECT_EQ(grown->shortfall, "");
  EXPECT_THAT(monitor_->devices(), ::testing::ElementsAre("dimm-ram1", "vcpu-1", "vcpu-2"));
}

TEST_F(Resize, CountsAProcessorThatCameAfterItsDeadline) {
  monitor_->AnswerLate("device_add");
  EXPECT_EQ(vm_->Resize({.vcpus = 2}, AtOnce()).error().code(), Code::kDeadlineExceeded);
  const auto grown = vm_->Resize({.vcpus = 3}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.vcpus, 3u);
  EXPECT_EQ(monitor_->devices().size(), 2u);
}

TEST_F(Resize, CountsMemoryThatCameAfterItsDeadline) {
  monitor_->AnswerLate("device_add");
  EXPECT_EQ(vm_->Resize({.memory_mib = 512}, AtOnce()).error().code(), Code::kDeadlineExceeded);
  const auto grown = vm_->Resize({.memory_mib = 768}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.memory_mib, 768u);
  EXPECT_EQ(grown->shortfall, "");
  EXPECT_EQ(monitor_->devices().size(), 2u);
}

TEST_F(Resize, ARefusedModuleLeavesNoMemoryBehind) {
  monitor_->Refuse("device_add");
  const auto grown = vm_->Resize({.memory_mib = 512}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.memory_mib, 384u) << "half of what was refused as a whole";
  EXPECT_THAT(grown->shortfall, ::testing::HasSubstr("refused"));
}

TEST_F(Resize, WaitsForOneThatHangsNoLongerThanItMay) {
  monitor_->AnswerLate("device_add");
  auto first = std::async(std::launch::async, [this] { return vm_->Resize({.vcpus = 2}, Soon()); });
  while (monitor_->devices().empty()) std::this_thread::yield();
  auto second = std::async(std::launch::async, [this] {
    return vm_->Resize({.vcpus = 3}, Deadline::After(std::chrono::milliseconds(10)));
  });
  EXPECT_EQ(second.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  // The answer comes behind that of the next command.
  ASSERT_TRUE(vm_->Pause(Soon()));
  EXPECT_TRUE(first.get());
  EXPECT_EQ(second.get().error().code(), Code::kDeadlineExceeded);
}

class GrowDisk : public FakeMonitorTest {
 protected:
  void SetUp() override {
    Start({.hotplug_ports = 1});
    ASSERT_TRUE(
        vm_->Attach(Disk{.id = "d", .path = "/dev/null", .bus = Disk::Bus::kBlock}, Soon()));
  }
  void ExpectBytes(uint64_t bytes) {
    EXPECT_THAT(monitor_->disks(), ::testing::ElementsAre(std::pair("drive-d", bytes)));
  }
};

TEST_F(GrowDisk, MakesADiskLargerAndTakesItsOwnSize) {
  constexpr uint64_t kLarger = 2 * kFakeDisk;
  ASSERT_TRUE(vm_->GrowDisk("d", kLarger, Soon()));
  ExpectBytes(kLarger);
  EXPECT_TRUE(vm_->GrowDisk("d", kLarger, Soon()));
  ExpectBytes(kLarger);
}

TEST_F(GrowDisk, NeverCutsADiskOff) {
  const auto cut = vm_->GrowDisk("d", kFakeDisk - 1, Soon());
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code(), Code::kInvalidArgument);
  ExpectBytes(kFakeDisk);
}

TEST_F(GrowDisk, SaysWhatQemuDoesNotDo) {
  EXPECT_EQ(vm_->GrowDisk("other", 2 * kFakeDisk, Soon()).error().code(), Code::kNotFound);
  monitor_->Refuse("block_resize");
  const auto refused = vm_->GrowDisk("d", 2 * kFakeDisk, Soon());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("refused"));
}

}  // namespace
}  // namespace kata::hypervisor::qemu
