// SPDX-License-Identifier: Apache-2.0
#include "host/storage/copy_up.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

class CopyUpTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/var/tmp/kata-copy-up-XXXXXX";
    dir_ = ::mkdtemp(name);
    ASSERT_TRUE(sys::Mount("tmpfs", dir_, "tmpfs", 0));
    for (const char* each : {"lower/etc/deep", "upper", "work", "work2", "one", "two"}) {
      ASSERT_TRUE(sys::MakeDirs(dir_ + "/" + each));
    }
    ASSERT_EQ(::chmod((dir_ + "/lower/etc").c_str(), 02750), 0);
    ASSERT_EQ(::symlink("/etc", (dir_ + "/lower/link").c_str()), 0);
    ASSERT_TRUE(sys::WriteFile(dir_ + "/lower/file", ""));
    ASSERT_TRUE(Mount("one", "work"));
  }
  void TearDown() override {
    if (dir_.empty()) return;
    ::umount2(dir_.c_str(), MNT_DETACH);
    ::rmdir(dir_.c_str());
  }
  Result<void> Mount(const std::string& target, const std::string& work) const {
    return sys::Mount(
        "overlay", dir_ + "/" + target, "overlay", 0,
        "lowerdir=" + dir_ + "/lower,upperdir=" + dir_ + "/upper,workdir=" + dir_ + "/" + work);
  }
  std::string dir_;
};

TEST_F(CopyUpTest, MakesNothingButTheSameDirectories) {
  struct stat before{};
  ASSERT_EQ(::stat((dir_ + "/lower/etc").c_str(), &before), 0);
  ASSERT_TRUE(CopyUpDirectories(dir_ + "/one", {"/link", "/missing", "/file", "/"}));
  struct stat after{};
  ASSERT_EQ(::stat((dir_ + "/upper/etc").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_FALSE(sys::Exists(dir_ + "/upper/etc/deep"));
  EXPECT_FALSE(sys::Exists(dir_ + "/upper/file"));
}

// Without that the second overlay would never see the file.
TEST_F(CopyUpTest, LetsADirectoryInUseShowWhatAnotherOverlayPutsThere) {
  ASSERT_TRUE(CopyUpDirectories(dir_ + "/one", {"/etc"}));
  ASSERT_TRUE(Mount("two", "work2"));
  const auto in_use = sys::Open(dir_ + "/two/etc", O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(in_use);
  ASSERT_FALSE(sys::Exists(dir_ + "/two/etc/new"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/one/etc/new", "x"));
  ASSERT_TRUE(sys::FsContext::Pick(dir_ + "/two")->Reconfigure());
  EXPECT_TRUE(sys::Exists(dir_ + "/two/etc/new"));
}

}  // namespace
}  // namespace kata::storage
