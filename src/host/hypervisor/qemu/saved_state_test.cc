// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "host/hypervisor/qemu/fake_monitor.h"
#include "sys/files.h"

namespace kata::hypervisor::qemu {
namespace {

using ::testing::IsEmpty;

class SavedState : public FakeMonitorTest {
 protected:
  void SetUp() override {
    Start();
    ASSERT_TRUE(sys::WriteFile(folder_ / "devices", "state"));
  }

  testing::TempDir folder_;
};

TEST_F(SavedState, IsWhatTheMigrationWrote) {
  const auto saved = vm_->Save(folder_.path(), Soon());
  ASSERT_TRUE(saved) << saved.error().message();
  EXPECT_EQ(*sys::ReadFile(folder_ / "devices"), "devices");
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

TEST_F(SavedState, ASaveDoesNotTakeTheEndOfAnEarlierMigrationForItsOwn) {
  ASSERT_TRUE(vm_->Restore(folder_.path(), Soon()));
  monitor_->MigrationsHang();
  const auto saved = vm_->Save(folder_.path(), AtOnce());
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code(), Code::kDeadlineExceeded);
}

TEST_F(SavedState, ARefusedMigrationLeavesNoDescriptorInQemu) {
  monitor_->Refuse("migrate");
  EXPECT_FALSE(vm_->Save(folder_.path(), Soon()));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
  monitor_->Refuse("migrate-incoming");
  EXPECT_FALSE(vm_->Restore(folder_.path(), Soon()));
  EXPECT_THAT(monitor_->descriptors(), IsEmpty());
}

TEST_F(SavedState, AFolderWithoutOneIsAnErrorBeforeQemuHearsOfIt) {
  ASSERT_TRUE(sys::RemoveFile(folder_ / "devices"));
  EXPECT_EQ(vm_->Restore(folder_.path(), Soon()).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::hypervisor::qemu
