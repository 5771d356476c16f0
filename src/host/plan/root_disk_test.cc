// SPDX-License-Identifier: Apache-2.0
#include "host/plan/root_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

SourceKind Classify(const std::string& path) {
  if (path.starts_with("/dev/")) return SourceKind::kBlockDevice;
  return path == "/" ? SourceKind::kDirectory : SourceKind::kFile;
}

std::optional<RootDisk> Plan(const std::vector<storage::RootfsMount>& rootfs,
                             const config::HypervisorConfig& config = {}) {
  return PlanRootDisk(rootfs, config, Classify);
}

TEST(RootDisk, IsADeviceOrALoopedFile) {
  auto disk = Plan({{"ext4", "/dev/mapper/snap-3", {"discard", "rw"}}});
  ASSERT_TRUE(disk);
  EXPECT_EQ(disk->source, "/dev/mapper/snap-3");
  EXPECT_EQ(disk->type, "ext4");
  EXPECT_THAT(disk->options, ElementsAre("discard", "rw"));
  EXPECT_FALSE(disk->read_only);

  disk = Plan({{"erofs", "/snapshots/3", {"ro", "loop"}}});
  ASSERT_TRUE(disk);
  EXPECT_THAT(disk->options, ElementsAre("ro"));
  EXPECT_TRUE(disk->read_only);
}

TEST(RootDisk, IsNothingElse) {
  const std::vector<std::vector<storage::RootfsMount>> shared = {
      {},
      {{"overlay", "overlay", {"lowerdir=/a:/b"}}},
      {{"bind", "/", {"rbind"}}},
      {{"ext4", "/snapshots/3", {}}},  // a file, not looped
      {{"btrfs", "/dev/sdb", {}}},     // not in the guest's kernel
      {{"ext4", "/dev/sdb", {}}, {"overlay", "overlay", {"lowerdir=/a"}}},  // not alone
  };
  config::HypervisorConfig none;
  none.shared_fs = "none";
  for (const auto& mounts : shared) {
    EXPECT_FALSE(Plan(mounts));
    EXPECT_FALSE(Plan(mounts, none));
  }
}

TEST(RootDisk, ARefusalNamesTheReasonAndTheRemedy) {
  const Error refused = RefuseToShareRoot(Error(Code::kUnimplemented, "it is a directory")).error();
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("and it is a directory; use another snapshotter"));
}

TEST(RootDisk, CanBeSwitchedOffWhereFilesAreShared) {
  config::HypervisorConfig config;
  config.disable_block_device_use = true;
  const std::vector<storage::RootfsMount> device = {{"ext4", "/dev/sdb", {}}};
  EXPECT_FALSE(Plan(device, config));
  config.shared_fs = "none";
  EXPECT_TRUE(Plan(device, config));
}

}  // namespace
}  // namespace kata::sandbox
