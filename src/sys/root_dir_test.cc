// SPDX-License-Identifier: Apache-2.0
#include "sys/root_dir.h"

#include <fcntl.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sys {
namespace {

namespace fs = std::filesystem;

TEST(CleanPath, KeepsOneLeadingSlashAndDotDot) {
  EXPECT_EQ(CleanPath(""), "/");
  EXPECT_EQ(CleanPath("//a/./b//"), "/a/b");
  EXPECT_EQ(CleanPath("a/../b"), "/a/../b");
}

class RootDirTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(base_ / "root/real");
    fs::create_directory(base_ / "outside");
  }

  RootDir Root() const { return RootDir(*sys::Open(base_ / "root", O_PATH | O_DIRECTORY)); }

  const sys::TemporaryDir temporary_{"root"};
  const fs::path base_ = temporary_.path();
};

TEST_F(RootDirTest, MakesDirectoriesAndFilesWithTheirParents) {
  ASSERT_TRUE(Root().MakeDirs("/a/b/c"));
  ASSERT_TRUE(Root().MakeFile("/d/e"));
  EXPECT_TRUE(fs::is_directory(base_ / "root/a/b/c"));
  EXPECT_TRUE(fs::is_regular_file(base_ / "root/d/e"));
}

TEST_F(RootDirTest, LinksLeadNowhereOutside) {
  fs::create_directory_symlink(base_ / "outside", base_ / "root/absolute");
  fs::create_directory_symlink("../../outside", base_ / "root/real/upwards");
  ASSERT_TRUE(Root().MakeDirs("/absolute/x"));
  ASSERT_TRUE(Root().MakeDirs("/real/upwards/y"));
  EXPECT_TRUE(fs::is_empty(base_ / "outside"));
  EXPECT_TRUE(fs::is_directory(base_ / "root/outside/y"));
}

TEST_F(RootDirTest, ALinkToItselfIsAnError) {
  fs::create_symlink("loop", base_ / "root/loop");
  EXPECT_FALSE(Root().MakeDirs("/loop/x"));
  EXPECT_FALSE(Root().MakeFile("/loop"));
}

}  // namespace
}  // namespace kata::sys
