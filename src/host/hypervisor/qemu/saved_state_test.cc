// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "host/hypervisor/qemu/fake_monitor.h"

namespace kata::hypervisor::qemu {
namespace {

using ::testing::IsEmpty;

using SavedState = FakeMonitorTest;

TEST_F(SavedState, IsWhatTheMigrationWrote) {
  Start();
  const auto state = vm_->Save(Soon());
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(*state, "devices");
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

TEST_F(SavedState, ASaveDoesNotTakeTheEndOfAnEarlierMigrationForItsOwn) {
  Start();
  ASSERT_TRUE(vm_->Restore("devices", Soon()));
  monitor_->MigrationsHang();
  const auto state = vm_->Save(AtOnce());
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code(), Code::kDeadlineExceeded);
}

TEST_F(SavedState, ARefusedMigrationLeavesNoDescriptorInQemu) {
  Start();
  monitor_->Refuse("migrate");
  EXPECT_FALSE(vm_->Save(Soon()));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
  monitor_->Refuse("migrate-incoming");
  EXPECT_FALSE(vm_->Restore("devices", Soon()));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

}  // namespace
}  // namespace kata::hypervisor::qemu
