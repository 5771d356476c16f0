// SPDX-License-Identifier: Apache-2.0
#include "host/machine/direct_disks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(DirectDisks, AreAttachedOnceAndFreeWithTheirLastContainer) {
  DirectDisks disks;
  int attached = 0;
  const auto attach = [&]() -> Result<DirectDisk> {
    DirectDisk disk{.disk_id = "disk" + std::to_string(++attached), .storage = {}};
    disk.storage.set_mount_point("/run/direct/1");
    return disk;
  };
  ASSERT_TRUE(disks.Use("a", "/v", attach));
  const auto again = disks.Use("b", "/v", attach);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->mount_point(), "/run/direct/1");
  EXPECT_EQ(attached, 1);
  EXPECT_EQ(disks.Find("/v").value_or(DirectDisk()).storage.mount_point(), "/run/direct/1");
  EXPECT_EQ(disks.Find("/w").error().code(), Code::kNotFound);
  EXPECT_THAT(disks.Release("a"), IsEmpty());
  const auto free = disks.Release("b");
  ASSERT_THAT(free, SizeIs(1));
  EXPECT_EQ(free[0].source, "/v");
  EXPECT_EQ(free[0].disk_id, "disk1");
  EXPECT_THAT(disks.Release("b"), IsEmpty());
  ASSERT_TRUE(disks.Use("c", "/v", attach));
  EXPECT_EQ(attached, 2);
}

TEST(DirectDisks, OneThatCannotBeAttachedIsTriedAgainByTheNextContainer) {
  DirectDisks disks;
  EXPECT_FALSE(disks.Use(
      "a", "/v", []() -> Result<DirectDisk> { return Fail(Code::kFailedPrecondition, "in use"); }));
  const auto free = disks.Release("a");
  ASSERT_THAT(free, SizeIs(1));
  EXPECT_EQ(free[0].disk_id, "");
  EXPECT_TRUE(disks.Use("b", "/v", []() -> Result<DirectDisk> { return DirectDisk(); }));
}

TEST(DirectDisks, GrowWhereTheirFileSystemCanAndTheyCanBeWritten) {
  const auto disk = [](const char* fs_type, const char* option) {
    DirectDisk made;
    made.storage.set_fstype(fs_type);
    made.storage.add_options(option);
    return made;
  };
  EXPECT_TRUE(CheckGrows(disk("ext4", "rw")));
  EXPECT_EQ(CheckGrows(disk("xfs", "rw")).error().code(), Code::kUnimplemented);
  EXPECT_EQ(CheckGrows(disk("ext4", "ro")).error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace kata::sandbox
