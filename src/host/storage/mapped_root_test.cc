// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mapped_root.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kUids[] = "uidmap=0:100000:10,10:5000:5";
constexpr char kGids[] = "gidmap=0:200000:65536";

TEST(TakeIdMapping, ReadsWhatContainerdWrites) {
  RootfsMount mount = {"overlay", "overlay", {"index=off", kUids, "lowerdir=/a", kGids}};
  const auto ids = TakeIdMapping(&mount);
  ASSERT_TRUE(ids && *ids);
  EXPECT_EQ((*ids)->uids.Outside(3), 100003U);
  EXPECT_EQ((*ids)->uids.Outside(12), 5002U);
  EXPECT_EQ((*ids)->gids.Outside(65535), 265535U);
  EXPECT_THAT(mount.options, ElementsAre("index=off", "lowerdir=/a"));
  const auto none = TakeIdMapping(&mount);
  EXPECT_TRUE(none && !*none);
}

TEST(TakeIdMapping, RefusesWhatIsNoMap) {
  for (const char* word : {"uidmap=", "uidmap=0", "uidmap=0:1", "uidmap=0:1:2:3", "uidmap=0:1:x",
                           "uidmap=x:0:1:2", "uidmap=0:1:-1", "uidmap=0:1:0",
                           "uidmap=0:1:4294967296", "uidmap=0:1:2,", "uidmap=4294967295:0:2"}) {
    RootfsMount mount = {"bind", "/a", {word, kGids}};
    const auto ids = TakeIdMapping(&mount);
    ASSERT_FALSE(ids) << word;
    EXPECT_EQ(ids.error().code(), Code::kInvalidArgument) << word;
    EXPECT_THAT(ids.error().message(), HasSubstr("uidmap"));
  }
}

class MappedRootTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    for (const char* name : {"low", "high", "upper", "work", "target"}) {
      ASSERT_TRUE(sys::MakeDirs(At(name)));
    }
    ASSERT_TRUE(sys::WriteFile(At("low/file"), "low"));
    ASSERT_TRUE(sys::WriteFile(At("high/other"), "high"));
    ASSERT_EQ(::chown(At("high/other").c_str(), 12, 1), 0);
  }
  void TearDown() override { (void)sys::Unmount(At("target"), MNT_DETACH); }

  std::string At(const std::string& name) const { return dir_.path() + "/" + name; }
  static std::pair<uid_t, gid_t> OwnerOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return {status.st_uid, status.st_gid};
  }
  void MountOne(const RootfsMount& mount) {
    const auto mounted = MountRootfs({mount}, At("target"));
    ASSERT_TRUE(mounted) << mounted.error().message();
  }

  sys::TemporaryDir dir_{"mapped-root"};
};

using Owner = std::pair<uid_t, gid_t>;

TEST_F(MappedRootTest, LayersHaveOtherOwnersAndWhatIsWrittenIsOnTheDiskAsItIsSeen) {
  MountOne({"overlay",
            "overlay",
            {"lowerdir=" + At("high") + ":" + At("low"), "upperdir=" + At("upper"),
             "workdir=" + At("work"), kUids, kGids}});
  EXPECT_EQ(OwnerOf(At("target/file")), Owner(100000, 200000));
  EXPECT_EQ(OwnerOf(At("target/other")), Owner(5002, 200001));
  EXPECT_EQ(sys::ReadFile(At("target/file")).value_or(""), "low");
  ASSERT_EQ(::chmod(At("target/file").c_str(), 0600), 0);
  EXPECT_EQ(OwnerOf(At("upper/file")), Owner(100000, 200000));
  EXPECT_EQ(OwnerOf(At("low/file")), Owner(0, 0));
  ASSERT_TRUE(sys::Unmount(At("target"), 0));
  EXPECT_FALSE(sys::Exists(At("target/0")));
}

TEST_F(MappedRootTest, ADirectoryHasOtherOwners) {
  MountOne({"bind", At("high"), {"rbind", "ro", kUids, kGids}});
  EXPECT_EQ(OwnerOf(At("target/other")), Owner(5002, 200001));
  EXPECT_EQ(sys::WriteFile(At("target/new"), "").error().error_number(), EROFS);
  ASSERT_TRUE(sys::Unmount(At("target"), 0));
  EXPECT_FALSE(sys::Exists(At("target/other")));
}

TEST_F(MappedRootTest, NothingIsLeftOfOneThatCannotBe) {
  const auto mounted = MountRootfs(
      {{"overlay", "overlay", {"lowerdir=" + At("low") + ":" + At("none"), kUids, kGids}}},
      At("target"));
  ASSERT_FALSE(mounted);
  EXPECT_THAT(mounted.error().message(), HasSubstr(At("none")));
  EXPECT_EQ(::umount2(At("target").c_str(), MNT_DETACH), -1);
}

}  // namespace
}  // namespace kata::storage
