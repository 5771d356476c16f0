// SPDX-License-Identifier: Apache-2.0
#include "host/machine/upper_disk_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr uint64_t kSize = uint64_t{1} << 30;

class UpperDiskFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/kata-upper-disk-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    upper_ = directory_ + "/diff";
    ASSERT_EQ(::mkdir(upper_.c_str(), 0755), 0);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(directory_)); }

  std::string directory_;
  std::string upper_;
};

TEST_F(UpperDiskFileTest, LiesBesideTheUpperDirectoryUntilItIsRemoved) {
  UpperDiskFile disk(upper_);
  EXPECT_EQ(disk.path(), directory_ + "/kata-upper.ext4");
  EXPECT_FALSE(disk.exists());
  const auto opened = disk.Open(kSize);
  if (!opened && opened.error().code() == Code::kUnimplemented) {
    GTEST_SKIP() << opened.error().message();
  }
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_TRUE(disk.exists());
  EXPECT_FALSE(disk.taken_over());
  EXPECT_TRUE(disk.TakeFile());
  ASSERT_TRUE(disk.Remove());
  EXPECT_FALSE(disk.exists());
  EXPECT_TRUE(disk.Remove()) << "what is gone already is no mistake";
}

TEST_F(UpperDiskFileTest, IsTakenOverWithWhatItHas) {
  ASSERT_TRUE(sys::WriteFile(directory_ + "/kata-upper.ext4", "kept"));
  UpperDiskFile disk(upper_);
  EXPECT_TRUE(disk.exists());
  ASSERT_TRUE(disk.Open(kSize));
  EXPECT_TRUE(disk.taken_over());
  EXPECT_EQ(sys::ReadFile(disk.path()).value_or(""), "kept");
}

// What is there may be somebody's trap; it must be told from a disk that could not be made.
TEST_F(UpperDiskFileTest, IsNoLinkToAnotherFile) {
  ASSERT_TRUE(sys::WriteFile(directory_ + "/other", "other's"));
  ASSERT_EQ(::symlink("other", (directory_ + "/kata-upper.ext4").c_str()), 0);
  UpperDiskFile disk(upper_);
  EXPECT_FALSE(disk.Open(kSize));
  EXPECT_TRUE(disk.taken_over());
}

}  // namespace
}  // namespace kata::sandbox
