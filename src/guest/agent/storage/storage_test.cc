// SPDX-License-Identifier: Apache-2.0
//
// Needs root: mounts for real, in a mount namespace of the test's own.
#include "guest/agent/storage/storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "guest/agent/storage/ownership.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::guest {
namespace {

class StorageTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/tmp/kata-storage-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_TRUE(sys::Mount("test", dir_, "tmpfs", 0));
  }
  void TearDown() override {
    if (dir_.empty()) return;
    ::umount2(dir_.c_str(), MNT_DETACH);
    ::rmdir(dir_.c_str());
  }

  agent::Storage Make(const char* driver, const std::string& source, const char* fstype,
                      const std::string& name, std::initializer_list<std::string> options = {}) {
    agent::Storage storage;
    storage.set_driver(driver);
    storage.set_source(source);
    storage.set_fstype(fstype);
    storage.set_mount_point(dir_ + name);
    for (const std::string& option : options) storage.add_options(option);
    return storage;
  }

  Result<std::vector<std::string>> Mount(std::initializer_list<const agent::Storage*> storages) {
    auto mounted = KATA_TRY(table_.Mount({storages.begin(), storages.size()}));
    KATA_TRY(StorageTable::GiveToGroups(mounted.groups));
    return std::move(mounted.points);
  }

  static mode_t ModeOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777;
  }
  static gid_t GroupOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_gid;
  }

  std::string dir_;
  StorageTable table_;
};

TEST_F(StorageTest, CountsUsersOfAMountPoint) {
  const auto shm = Make("ephemeral", "shm", "tmpfs", "/shm/", {"nodev", "mode=1777", "size=65536"});
  ASSERT_TRUE(Mount({&shm}));
  const auto again = Mount({&shm});
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, std::vector<std::string>{dir_ + "/shm"});
  EXPECT_EQ(ModeOf(dir_ + "/shm"), 01777u);
  ASSERT_TRUE(table_.Release(*again));
  EXPECT_TRUE(*sys::IsMountPoint(dir_ + "/shm"));
  ASSERT_TRUE(table_.Release(*again));
  EXPECT_FALSE(sys::Exists(dir_ + "/shm"));
  EXPECT_TRUE(table_.Release(*again));
}

TEST_F(StorageTest, KeepsSharedStoragesUntilTheSandboxEnds) {
  auto storage = Make("ephemeral", "tmpfs", "tmpfs", "/kept");
  storage.set_shared(true);
  const auto points = Mount({&storage});
  ASSERT_TRUE(points);
  ASSERT_TRUE(table_.Release(*points));
  EXPECT_TRUE(*sys::IsMountPoint(dir_ + "/kept"));
  ASSERT_TRUE(table_.ReleaseAll());
  EXPECT_FALSE(sys::Exists(dir_ + "/kept"));
}

TEST_F(StorageTest, UndoesAllOfACallThatFails) {
  const auto good = Make("ephemeral", "tmpfs", "tmpfs", "/good");
  const auto bad = Make("ephemeral", "tmpfs", "tmpfs", "/bad", {"size=nonsense"});
  const auto mounted = Mount({&good, &bad});
  ASSERT_FALSE(mounted);
  EXPECT_NE(mounted.error().message().find("/bad"), std::string::npos);
  EXPECT_FALSE(sys::Exists(dir_ + "/good"));
}

TEST_F(StorageTest, RefusesMountPointsThatAreNone) {
  for (const char* point : {"", "relative", "/", "/a/../b", "/a/.."}) {
    agent::Storage storage;
    storage.set_driver("local");
    storage.set_mount_point(point);
    EXPECT_EQ(Mount({&storage}).error().code(), Code::kInvalidArgument) << point;
  }
}

TEST_F(StorageTest, MakesLocalDirectoriesAndRemovesThem) {
  const auto local = Make("local", "local", "local", "/a/b", {"mode=0750", "fsgid=77"});
  const auto points = Mount({&local});
  ASSERT_TRUE(points);
  EXPECT_EQ(ModeOf(dir_ + "/a/b"), 02750u);
  EXPECT_EQ(GroupOf(dir_ + "/a/b"), 77u);
  ASSERT_TRUE(sys::WriteFile(dir_ + "/a/b/file", "x"));
  ASSERT_TRUE(table_.Release(*points));
  EXPECT_FALSE(sys::Exists(dir_ + "/a/b"));
}

TEST_F(StorageTest, BindsFilesAndDirectories) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/file", "content"));
  const auto file = Make("bind", dir_ + "/file", "bind", "/sub/target", {"ro"});
  const auto points = Mount({&file});
  ASSERT_TRUE(points) << points.error().message();
  EXPECT_EQ(*sys::ReadFile(dir_ + "/sub/target"), "content");
  EXPECT_FALSE(sys::WriteFile(dir_ + "/sub/target", "changed"));
  ASSERT_TRUE(table_.Release(*points));
  EXPECT_FALSE(sys::Exists(dir_ + "/sub/target"));
}

TEST_F(StorageTest, MakesTheDirectoriesOfAnOverlay) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/lower"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/lower/file", "content"));
  auto overlay = Make(
      "overlayfs", "overlay", "overlay", "/merged",
      {"lowerdir=" + dir_ + "/lower", "upperdir=" + dir_ + "/upper", "workdir=" + dir_ + "/work"});
  for (const char* name : {"/upper", "/work"}) {
    overlay.add_driver_options("io.katacontainers.volume.overlayfs.create_directory=" + dir_ +
                               name);
  }
  ASSERT_TRUE(Mount({&overlay}));
  EXPECT_EQ(*sys::ReadFile(dir_ + "/merged/file"), "content");
  ASSERT_TRUE(table_.ReleaseAll());
}

TEST_F(StorageTest, GivesAVolumeToAGroup) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume/sub"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/volume/sub/file", "x", 0600));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/outside", "x", 0600));
  ASSERT_EQ(::symlink((dir_ + "/outside").c_str(), (dir_ + "/volume/link").c_str()), 0);
  auto storage = Make("bind", dir_ + "/volume", "bind", "/target");
  storage.mutable_fs_group()->set_group_id(88);
  ASSERT_TRUE(Mount({&storage}));
  EXPECT_EQ(GroupOf(dir_ + "/volume/sub/file"), 88u);
  EXPECT_EQ(ModeOf(dir_ + "/volume/sub/file"), 0660u);
  EXPECT_EQ(ModeOf(dir_ + "/volume/sub"), 02775u);
  EXPECT_EQ(ModeOf(dir_ + "/outside"), 0600u);
  ASSERT_TRUE(table_.ReleaseAll());
}

// A container that has the volume already swaps its files for links while the group is changed.
TEST_F(StorageTest, NothingOutsideOfAVolumeChangesWhateverItsUsersDoMeanwhile) {
  constexpr int kRounds = 3000;
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/outside", "x", 0600));
  ASSERT_EQ(::chown((dir_ + "/outside").c_str(), 0, 0), 0);
  const std::string file = dir_ + "/volume/file";
  const std::string link = dir_ + "/volume/link";
  ASSERT_TRUE(sys::WriteFile(file, "x", 0600));
  ASSERT_EQ(::symlink((dir_ + "/outside").c_str(), link.c_str()), 0);
  std::atomic<bool> end = false;
  std::thread user([&] {
    while (!end) {
      ::renameat2(AT_FDCWD, file.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
    }
  });
  for (int round = 0; round < kRounds && ModeOf(dir_ + "/outside") == 0600; ++round) {
    const auto changed = ChangeGroup(dir_ + "/volume", 88, false);
    EXPECT_TRUE(changed) << changed.error().message();
  }
  end = true;
  user.join();
  EXPECT_EQ(ModeOf(dir_ + "/outside"), 0600u);
  EXPECT_EQ(GroupOf(dir_ + "/outside"), 0u);
}

TEST_F(StorageTest, GivesFifosToAGroupWithoutOpeningThem) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_EQ(::mkfifo((dir_ + "/volume/fifo").c_str(), 0600), 0);
  ASSERT_TRUE(ChangeGroup(dir_ + "/volume", 88, false));
  EXPECT_EQ(ModeOf(dir_ + "/volume/fifo"), 0660u);
  EXPECT_EQ(GroupOf(dir_ + "/volume/fifo"), 88u);
}

TEST_F(StorageTest, RemountsEphemeralStoragesWithAnotherSize) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/t"));
  const auto storage = Make("ephemeral", "tmpfs", "tmpfs", "/t", {"size=1m"});
  ASSERT_TRUE(Mount({&storage}));
  const auto bigger = Make("ephemeral", "tmpfs", "tmpfs", "/t", {"remount", "size=2m"});
  ASSERT_TRUE(StorageTable::RemountEphemeral(bigger));
  const auto mounts = *sys::ReadMountInfo();
  EXPECT_NE(mounts.back().super_options.find("size=2048k"), std::string::npos);
  ASSERT_TRUE(table_.ReleaseAll());
}

TEST_F(StorageTest, SaysWhichDiskIsMissing) {
  const auto disk = Make("blk", "1f/1f", "ext4", "/disk");
  const auto mounted = Mount({&disk});
  ASSERT_FALSE(mounted);
  EXPECT_EQ(mounted.error().code(), Code::kNotFound);
  EXPECT_NE(mounted.error().message().find("\"1f/1f\""), std::string::npos);
}

}  // namespace
}  // namespace kata::guest
