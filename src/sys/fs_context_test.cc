// SPDX-License-Identifier: Apache-2.0
//
// Needs root: mounts for real, in a mount namespace of the test's own.
#include "sys/fs_context.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"

namespace kata::sys {
namespace {

class FsContextTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    ASSERT_TRUE(Mount("test", dir_.path(), "tmpfs", 0));
    for (const char* name : {"low,er", "upper", "work", "merged"}) {
      ASSERT_TRUE(MakeDirs(At(name)));
    }
  }
  void TearDown() override { ::umount2(dir_.path().c_str(), MNT_DETACH); }

  std::string At(const std::string& name) const { return dir_.path() + "/" + name; }
  std::vector<std::string> Layers() const {
    return {"lowerdir+=" + At("low,er"), "upperdir=" + At("upper"), "workdir=" + At("work")};
  }

  TemporaryDir dir_{"fs-context"};
};

TEST_F(FsContextTest, AFileSystemThatTheKernelLacksIsUnimplemented) {
  const auto context = FsContext::Open("no-such-file-system");
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().code(), Code::kUnimplemented);
  EXPECT_NE(context.error().message().find("\"no-such-file-system\""), std::string::npos);
}

TEST_F(FsContextTest, WordsGoToTheMountAndToTheFileSystem) {
  const std::vector<std::string> words = {"ro", "nodev", "noexec", "size=1m", "mode=0710"};
  const auto mounted = MountNew("tmpfs", "name", words, At("merged"));
  ASSERT_TRUE(mounted) << mounted.error().message();
  const MountInfo info = ReadMountInfo()->back();
  EXPECT_EQ(info.source, "name");
  EXPECT_NE(info.options.find("nodev"), std::string::npos);
  EXPECT_NE(info.options.find("noexec"), std::string::npos);
  EXPECT_EQ(info.super_options.substr(0, 2), "ro");
  EXPECT_NE(info.super_options.find("size=1024k,mode=710"), std::string::npos);
}

TEST_F(FsContextTest, AnOptionsValueMayHoldCommas) {
  ASSERT_TRUE(WriteFile(At("low,er/file"), "content"));
  const auto mounted = MountNew("overlay", "overlay", Layers(), At("merged"));
  ASSERT_TRUE(mounted) << mounted.error().message();
  EXPECT_EQ(*ReadFile(At("merged/file")), "content");
}

TEST_F(FsContextTest, ErrorsSayWhatTheKernelLogged) {
  const std::vector<std::string> unknown = {"no_such_option=1"};
  const auto refused = MountNew("tmpfs", "tmpfs", unknown, At("merged"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("Unknown parameter 'no_such_option'"), std::string::npos)
      << refused.error().message();
  EXPECT_FALSE(*IsMountPoint(At("merged")));
}

TEST_F(FsContextTest, AValueThatIsTooLongForTheKernelIsRefusedWithItsLength) {
  const std::vector<std::string> words = {"lowerdir+=/" + std::string(300, 'x')};
  const auto refused = MountNew("overlay", "overlay", words, At("merged"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "overlay: lowerdir+ of 301 characters, more than 255");
}

TEST_F(FsContextTest, ReconfiguringShowsWhatCameBehindAnOverlaysBack) {
  const auto mounted = MountNew("overlay", "overlay", Layers(), At("merged"));
  ASSERT_TRUE(mounted) << mounted.error().message();
  ASSERT_FALSE(Exists(At("merged/later")));
  ASSERT_TRUE(WriteFile(At("upper/later"), "content"));
  ASSERT_FALSE(Exists(At("merged/later"))) << "else there is nothing to mend";
  auto context = FsContext::Pick(At("merged"));
  ASSERT_TRUE(context) << context.error().message();
  const auto changed = context->Reconfigure();
  ASSERT_TRUE(changed) << changed.error().message();
  EXPECT_TRUE(Exists(At("merged/later")));
}

TEST_F(FsContextTest, NothingIsPickedWhereNothingIsMounted) {
  EXPECT_EQ(FsContext::Pick(At("upper")).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(FsContext::Pick(At("nowhere")).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::sys
