// SPDX-License-Identifier: Apache-2.0
//
// Needs root, and of the kernel loop devices, EROFS or ext4, and overlayfs: layers in files, and an
// overlay over them, in a mount namespace of the test's own.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "guest/agent/storage/grow.h"
#include "guest/agent/storage/loop.h"
#include "guest/agent/storage/overlay.h"
#include "guest/agent/storage/storage.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"

namespace kata::guest {
namespace {

class LayersTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    if (!HasLoopDriver() || !HasOverlayDriver()) {
      GTEST_SKIP() << "the kernel lacks loop devices, erofs or overlayfs with lowerdir+";
    }
    if (::access("/usr/sbin/mke2fs", X_OK) != 0 || ::access("/usr/bin/mkfs.erofs", X_OK) != 0) {
      GTEST_SKIP() << "mke2fs or mkfs.erofs is missing";
    }
  }
  void TearDown() override { EXPECT_TRUE(table_.ReleaseAll()); }

  std::string At(const std::string& name) const { return dir_.path() + "/" + name; }

  // A layer of one file, "NAME", that says `content`, as an image.
  std::string MakeLayer(const std::string& name, const std::string& content) const {
    EXPECT_TRUE(sys::MakeDirs(At("tree-" + name)));
    EXPECT_TRUE(sys::WriteFile(At("tree-" + name + "/" + name), content));
    Run({"/usr/bin/mkfs.erofs", "--quiet", At(name + ".erofs"), At("tree-" + name)});
    return At(name + ".erofs");
  }
  std::string MakeDisk(const std::string& name) const {
    constexpr off_t kSize = 16 << 20;
    const std::string path = At(name);
    EXPECT_TRUE(sys::WriteFile(path, ""));
    EXPECT_EQ(::truncate(path.c_str(), kSize), 0);
    Run({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", path});
    return path;
  }
  // Of the file system on `point`.
  uint64_t SizeOf(const std::string& point) const {
    struct statfs system{};
    EXPECT_EQ(::statfs(At(point).c_str(), &system), 0);
    return system.f_blocks * static_cast<uint64_t>(system.f_bsize);
  }
  static void Run(const std::vector<std::string>& argv) {
    auto child = sys::ChildProcess::Spawn({.argv = argv});
    ASSERT_TRUE(child) << child.error().message();
    const auto ended = child->Wait(Deadline::After(std::chrono::minutes(1)));
    ASSERT_TRUE(ended && ended->Success()) << argv[0];
  }

  agent::Storage Make(const char* driver, const std::string& source, const char* type,
                      const std::string& point, std::initializer_list<std::string> options) {
    agent::Storage storage;
    storage.set_driver(driver);
    storage.set_source(source);
    storage.set_fstype(type);
    storage.set_mount_point(At(point));
    for (const std::string& option : options) storage.add_options(option);
    return storage;
  }
  Result<std::vector<std::string>> Mount(const std::vector<agent::Storage>& storages) {
    std::vector<const agent::Storage*> pointers;
    for (const agent::Storage& storage : storages) pointers.push_back(&storage);
    return KATA_TRY(table_.Mount(pointers)).points;
  }

  sys::TemporaryDir dir_{"layers"};
  StorageTable table_;
};

TEST_F(LayersTest, LayersInFilesAreSeenThroughAnOverlayTheTopmostFirst) {
  ASSERT_TRUE(sys::MakeDirs(At("tree-below")));
  ASSERT_TRUE(sys::WriteFile(At("tree-below/above"), "hidden"));
  const auto below = Make("loop", MakeLayer("below", "1"), "erofs", "l/below", {"ro"});
  const auto above = Make("loop", MakeLayer("above", "2"), "erofs", "l/above", {"ro"});
  ASSERT_TRUE(sys::MakeDirs(At("upper")));
  const auto overlay = Make("overlayfs", "overlay", "overlay", "root",
                            {"lowerdir+=" + At("l/above"), "lowerdir+=" + At("l/below"),
                             "upperdir=" + At("upper"), "workdir=" + At("work"), "index=off",
                             "uuid=null", "xino=off", "redirect_dir=off", "metacopy=off"});
  auto with_work = overlay;
  with_work.add_driver_options("io.katacontainers.volume.overlayfs.create_directory=" + At("work"));
  const auto points = Mount({below, above, with_work});
  ASSERT_TRUE(points) << points.error().message();
  EXPECT_EQ(*sys::ReadFile(At("root/below")), "1");
  EXPECT_EQ(*sys::ReadFile(At("root/above")), "2");
  ASSERT_TRUE(sys::WriteFile(At("root/below"), "changed"));
  EXPECT_EQ(*sys::ReadFile(At("upper/below")), "changed");
  EXPECT_FALSE(sys::WriteFile(At("l/below/below"), "changed"));
  ASSERT_TRUE(table_.Release(*points));
  EXPECT_FALSE(sys::Exists(At("root")));
  EXPECT_FALSE(sys::Exists(At("l/below")));
}

TEST_F(LayersTest, ALayerOfSeveralContainersStaysUntilTheLastOfThem) {
  const auto layer = Make("loop", MakeLayer("layer", "1"), "erofs", "l/layer", {"ro"});
  const auto first = Mount({layer});
  const auto second = Mount({layer});
  ASSERT_TRUE(first && second);
  const auto mounts = *sys::ReadMountInfo();
  EXPECT_EQ(std::ranges::count(mounts, At("l/layer"), &sys::MountInfo::mount_point), 1);
  ASSERT_TRUE(table_.Release(*first));
  EXPECT_EQ(*sys::ReadFile(At("l/layer/layer")), "1");
  ASSERT_TRUE(table_.Release(*second));
  EXPECT_FALSE(sys::Exists(At("l/layer")));
}

TEST_F(LayersTest, AHundredLayersCanBeMounted) {
  constexpr int kLayers = 100;
  const std::string image = MakeLayer("layer", "1");
  std::vector<agent::Storage> storages;
  agent::Storage overlay = Make("overlayfs", "overlay", "overlay", "root", {});
  for (int i = 0; i < kLayers; ++i) {
    const std::string point = fmt::format("l/{}", i);
    storages.push_back(Make("loop", image, "erofs", point, {"ro"}));
    overlay.add_options("lowerdir+=" + At(point));
  }
  storages.push_back(overlay);
  const auto points = Mount(storages);
  ASSERT_TRUE(points) << points.error().message();
  EXPECT_EQ(*sys::ReadFile(At("root/layer")), "1");
}

TEST_F(LayersTest, ADiskInAFileIsWrittenAndKeepsWhatItWasGiven) {
  const auto disk = Make("loop", MakeDisk("disk"), "ext4", "disk-of", {"rw", "discard"});
  const auto points = Mount({disk});
  ASSERT_TRUE(points) << points.error().message();
  ASSERT_TRUE(sys::WriteFile(At("disk-of/file"), "content"));
  ASSERT_TRUE(table_.Release(*points));
  ASSERT_TRUE(Mount({disk}));
  EXPECT_EQ(*sys::ReadFile(At("disk-of/file")), "content");
}

// Some containers leave root without it; a guest's agent has it.
bool MayGrowFileSystems() { return ::prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) == 1; }

// As a machine's disk does when the host has resized it.
void MakeLoopAsLargeAsItsFile(const std::string& mount_point) {
  struct stat status{};
  ASSERT_EQ(::stat(mount_point.c_str(), &status), 0);
  const auto loop = sys::Open(fmt::format("/dev/loop{}", gnu_dev_minor(status.st_dev)), O_RDWR);
  ASSERT_TRUE(loop) << loop.error().message();
  ASSERT_EQ(::ioctl(loop->get(), LOOP_SET_CAPACITY), 0);
}

TEST_F(LayersTest, AnExt4GrowsWithItsDisk) {
  if (!MayGrowFileSystems()) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  constexpr uint64_t kLarger = 64 << 20;
  const std::string path = MakeDisk("disk");
  const auto points = Mount({Make("loop", path, "ext4", "disk-of", {"rw"})});
  ASSERT_TRUE(points) << points.error().message();
  ASSERT_TRUE(sys::WriteFile(At("disk-of/file"), "content"));
  EXPECT_FALSE(DiskHas(At("disk-of"), kLarger).value_or(true));
  const uint64_t before = SizeOf("disk-of");
  EXPECT_TRUE(GrowFileSystem(At("disk-of")));
  EXPECT_EQ(SizeOf("disk-of"), before);
  ASSERT_EQ(::truncate(path.c_str(), kLarger), 0);
  MakeLoopAsLargeAsItsFile(At("disk-of"));
  EXPECT_TRUE(DiskHas(At("disk-of"), kLarger).value_or(false));
  const auto grown = GrowFileSystem(At("disk-of"));
  EXPECT_TRUE(grown) << grown.error().message();
  EXPECT_GT(SizeOf("disk-of"), before + kLarger / 2);
  EXPECT_EQ(*sys::ReadFile(At("disk-of/file")), "content");
  ASSERT_TRUE(table_.Release(*points));
  Run({"/usr/sbin/e2fsck", "-fn", path});
}

TEST_F(LayersTest, WhatCannotGrowSaysWhy) {
  if (!MayGrowFileSystems()) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  ASSERT_TRUE(Mount({Make("loop", MakeLayer("layer", "1"), "erofs", "l/layer", {"ro"}),
                     Make("loop", MakeDisk("disk"), "ext4", "disk-of", {"ro"})}));
  EXPECT_EQ(GrowFileSystem(At("l/layer")).error().code(), Code::kUnimplemented);
  EXPECT_EQ(GrowFileSystem(At("disk-of")).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(DiskHas("/proc", 0).error().code(), Code::kFailedPrecondition);
}

TEST_F(LayersTest, AReadOnlyRootIsAnOverlayWithoutAnUpper) {
  ASSERT_TRUE(sys::MakeDirs(At("upper")));
  ASSERT_TRUE(sys::WriteFile(At("upper/layer"), "2"));
  const auto layer = Make("loop", MakeLayer("layer", "1"), "erofs", "l/layer", {"ro"});
  const auto overlay = Make("overlayfs", "overlay", "overlay", "root",
                            {"lowerdir+=" + At("upper"), "lowerdir+=" + At("l/layer")});
  const auto points = Mount({layer, overlay});
  ASSERT_TRUE(points) << points.error().message();
  EXPECT_EQ(*sys::ReadFile(At("root/layer")), "2");
  EXPECT_FALSE(sys::WriteFile(At("root/layer"), "3"));
}

TEST_F(LayersTest, WhatCannotBeMountedIsToldWithItsFileAndLeavesNothing) {
  const std::string image = MakeLayer("layer", "1");
  const auto wrong = Make("loop", image, "ext4", "l/layer", {"ro"});
  const auto mounted = Mount({wrong});
  ASSERT_FALSE(mounted);
  EXPECT_NE(mounted.error().message().find(image), std::string::npos) << mounted.error().message();
  EXPECT_FALSE(*sys::IsMountPoint(At("l/layer")));
  const auto missing = Mount({Make("loop", At("missing"), "erofs", "l/missing", {"ro"})});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

TEST_F(LayersTest, OnlyAMountOfTheTableCanBeReconfigured) {
  const auto layer = Make("loop", MakeLayer("layer", "1"), "erofs", "l/layer", {"ro"});
  ASSERT_TRUE(Mount({layer}));
  EXPECT_TRUE(table_.CheckMounted(At("l/layer/")));
  const auto changed = StorageTable::Reconfigure(At("l/layer/"));
  EXPECT_TRUE(changed) << changed.error().message();
  EXPECT_EQ(table_.CheckMounted("/proc").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::guest
