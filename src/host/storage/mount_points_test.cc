// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mount_points.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

namespace fs = std::filesystem;

class MountPointsTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(base_ / "root"); }

  const sys::TemporaryDir temporary_{"points"};
  const fs::path base_ = temporary_.path();
};

TEST_F(MountPointsTest, MakesWhatIsMissing) {
  std::vector<MountPoint> points{{"/proc"}, {"/data/deep"}, {"/etc/hosts", true}, {"/data"}};
  ASSERT_TRUE(MakeMountPoints(base_ / "root", &points));
  EXPECT_TRUE(points[1].made);
  EXPECT_FALSE(points[3].made) << "by the one before";
  EXPECT_TRUE(fs::is_directory(base_ / "root/proc"));
  EXPECT_TRUE(fs::is_directory(base_ / "root/data/deep"));
  EXPECT_TRUE(fs::is_regular_file(base_ / "root/etc/hosts"));
}

TEST_F(MountPointsTest, LeavesToTheGuestWhatIsInsideAnotherMount) {
  std::vector<MountPoint> points{{"/dev"}, {"/dev/pts"}, {"/device"}};
  ASSERT_TRUE(MakeMountPoints(base_ / "root", &points));
  EXPECT_FALSE(fs::exists(base_ / "root/dev/pts"));
  EXPECT_TRUE(fs::is_directory(base_ / "root/device"));
}

TEST_F(MountPointsTest, LinksOfTheImageLeadNowhereOutside) {
  fs::create_directory(base_ / "outside");
  fs::create_directory_symlink(base_ / "outside", base_ / "root/data");
  std::vector<MountPoint> points{{"/data/x"}};
  ASSERT_TRUE(MakeMountPoints(base_ / "root", &points));
  EXPECT_TRUE(fs::is_empty(base_ / "outside"));
}

}  // namespace
}  // namespace kata::storage
