// SPDX-License-Identifier: Apache-2.0
//
// Needs root, EROFS and loop devices in the kernel, mkfs.erofs and mkfs.ext4.
#include "host/storage/image_mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/mounted_image.h"
#include "host/storage/share.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

class ImageMountsTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    if (!sys::FsContext::Open("erofs")) GTEST_SKIP() << "the kernel has no EROFS";
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_TRUE(sys::SetPropagation("/", MS_PRIVATE | MS_REC));
    for (const char* name : {"fs", "work"}) ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/" + name));
  }
  void TearDown() override { UnmountImages(place_); }

  static void Run(const std::string& command) {
    ASSERT_EQ(std::system((command + " >/dev/null 2>&1").c_str()), 0) << command;
  }
  // An image with the file "name", whose content is the name of the layer, too.
  RootfsMount Layer(const std::string& name) const {
    const std::string tree = dir_.path() + "/tree-" + name;
    EXPECT_TRUE(sys::MakeDirs(tree + "/sub"));
    EXPECT_TRUE(sys::WriteFile(tree + "/" + name, name));
    EXPECT_TRUE(sys::WriteFile(tree + "/top", name));
    const std::string image = dir_.path() + "/" + name + ".erofs";
    Run("mkfs.erofs " + image + " " + tree);
    return {"erofs", image, {"ro", "loop"}};
  }
  RootfsMount Disk() const {
    const std::string image = dir_.path() + "/rwlayer.img";
    Run("truncate -s 16M " + image + " && /sbin/mkfs.ext4 -q " + image);
    return {"ext4", image, {"rw", "loop"}};
  }
  RootfsMount Overlay(std::vector<std::string> options) const {
    return {"format/mkdir/overlay", "overlay", std::move(options)};
  }
  RootfsMount OnDirectories() const {
    return Overlay({"workdir=" + dir_.path() + "/work", "upperdir=" + dir_.path() + "/fs",
                    "lowerdir={{ overlay 0 1 }}"});
  }
  static RootfsMount OnDisk() {
    return {"format/mkdir/overlay",
            "overlay",
            {"X-containerd.mkdir.path={{ mount 0 }}/upper:0755",
             "X-containerd.mkdir.path={{ mount 0 }}/work:0755", "workdir={{ mount 0 }}/work",
             "upperdir={{ mount 0 }}/upper", "lowerdir={{ mount 1 }}"}};
  }
  Result<RootfsMount> MountAll(const std::vector<RootfsMount>& mounts) const {
    return MountImages(KATA_TRY(ParseDescriptors(mounts)), place_);
  }
  std::string Content(const std::string& path) const {
    return sys::ReadFile(dir_.path() + "/root/" + path).value_or("nothing");
  }
  // Whether `mounts` make a root file system at <dir>/root.
  std::string MountRoot(const std::vector<RootfsMount>& mounts) const {
    auto mount = MountAll(mounts);
    if (!mount) return mount.error().message();
    EXPECT_TRUE(sys::MakeDirs(dir_.path() + "/root"));
    auto mounted = MountRootfs({*mount}, dir_.path() + "/root");
    return mounted ? "" : mounted.error().message();
  }
  size_t MountsBelow(const std::string& path) const {
    const auto mounts = sys::ReadMountInfo().value();
    return static_cast<size_t>(std::ranges::count_if(
        mounts, [&](const auto& mount) { return mount.mount_point.starts_with(path); }));
  }

  sys::TemporaryDir dir_{"image-mounts"};
  std::string place_ = dir_.path() + "/images";
};

TEST_F(ImageMountsTest, LayersBelowADirectoryAreARoot) {
  ASSERT_EQ(MountRoot({Layer("b"), Layer("a"), OnDirectories()}), "");
  EXPECT_EQ(Content("top"), "b");
  EXPECT_EQ(Content("a"), "a");
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/root/new", "x"));
  EXPECT_EQ(sys::ReadFile(dir_.path() + "/fs/new").value(), "x");
  ::umount2((dir_.path() + "/root").c_str(), MNT_DETACH);
  UnmountImages(place_);
  EXPECT_EQ(MountsBelow(dir_.path()), 0U);
  EXPECT_FALSE(sys::Exists(place_));
}

TEST_F(ImageMountsTest, AWritableImageKeepsWhatIsWritten) {
  ASSERT_EQ(MountRoot({Disk(), Layer("a"), OnDisk()}), "");
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/root/new", "x"));
  ::umount2((dir_.path() + "/root").c_str(), MNT_DETACH);
  EXPECT_EQ(sys::ReadFile(place_ + "/0/upper/new").value(), "x");
}

TEST_F(ImageMountsTest, ALinkInAWritableImageIsNotFollowed) {
  const RootfsMount disk = Disk();
  ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/mnt"));
  ASSERT_TRUE(MountImage({.path = disk.source, .type = "ext4"}, dir_.path() + "/mnt"));
  ASSERT_EQ(::symlink((dir_.path() + "/fs").c_str(), (dir_.path() + "/mnt/upper").c_str()), 0);
  ASSERT_EQ(::umount2((dir_.path() + "/mnt").c_str(), 0), 0);
  EXPECT_THAT(MountRoot({disk, Layer("a"), OnDisk()}), HasSubstr("\"/upper\" in an image"));
  EXPECT_EQ(MountsBelow(place_), 0U);
}

TEST_F(ImageMountsTest, AfterAFailureNothingIsMounted) {
  const RootfsMount broken{"erofs", dir_.path() + "/broken.erofs", {"ro", "loop"}};
  ASSERT_TRUE(sys::WriteFile(broken.source, std::string(8192, 'x')));
  EXPECT_THAT(MountRoot({Layer("a"), broken, OnDirectories()}), HasSubstr("broken.erofs"));
  EXPECT_EQ(MountsBelow(dir_.path()), 0U);
  EXPECT_FALSE(sys::Exists(place_));
}

TEST_F(ImageMountsTest, AnImageThatFailsItsCheckIsNotMounted) {
  RootfsMount layer = Layer("a");
  ASSERT_TRUE(sys::WriteFile(layer.source + ".dmverity", "{}"));
  layer.options.push_back("X-containerd.dmverity=" + layer.source + ".dmverity");
  EXPECT_THAT(MountRoot({layer}), HasSubstr("dm-verity"));
  EXPECT_EQ(MountsBelow(dir_.path()), 0U);
}

TEST_F(ImageMountsTest, TheFileOfAMountedLayerIsFound) {
  const RootfsMount layer = Layer("a");
  ASSERT_TRUE(MountAll({layer, Layer("b"), OnDirectories()}));
  const auto image = FindMountedImage(sys::ReadMountInfo().value(), place_ + "/0");
  ASSERT_TRUE(image);
  EXPECT_EQ(image->path, layer.source);
  EXPECT_EQ(image->key, FindMountedImage(sys::ReadMountInfo().value(), place_ + "/0")->key);
  EXPECT_NE(image->key, FindMountedImage(sys::ReadMountInfo().value(), place_ + "/1")->key);
  // Another file of the same name is not the one that is mounted.
  ASSERT_EQ(::rename((dir_.path() + "/b.erofs").c_str(), layer.source.c_str()), 0);
  ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/tree-c"));
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/tree-c/file", std::string(1 << 20, 'x')));
  Run("mkfs.erofs " + layer.source + " " + dir_.path() + "/tree-c");
  EXPECT_FALSE(FindMountedImage(sys::ReadMountInfo().value(), place_ + "/0"));
}

TEST_F(ImageMountsTest, TheFileOfALayerThatALoopDeviceHasIsFound) {
  const RootfsMount layer = Layer("a");
  ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/mnt"));
  Run("mount -o loop,ro " + layer.source + " " + dir_.path() + "/mnt");
  const auto image = FindMountedImage(sys::ReadMountInfo().value(), dir_.path() + "/mnt");
  ::umount2((dir_.path() + "/mnt").c_str(), MNT_DETACH);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->path, layer.source);
}

TEST_F(ImageMountsTest, AWritableImageIsGivenUpForTheGuest) {
  const std::string id = "images-test-" + std::to_string(::getpid());
  auto share = SharedDirectory::Create(id).value();
  const RootfsMount disk = Disk();
  const auto left = share.AddImages("c", {disk, Layer("a"), OnDisk()});
  ASSERT_TRUE(left) << left.error().message();
  ASSERT_TRUE(share.AddRootfs("c", *left, "", false));
  ASSERT_TRUE(sys::WriteFile(share.RootfsOf("c") + "/new", "x"));
  const auto upper = share.UpperImageOf("c");
  ASSERT_TRUE(upper);
  EXPECT_EQ(upper->image.path, disk.source);
  EXPECT_EQ(upper->directories.upper, "/upper");
  ASSERT_TRUE(share.HideRootfs("c"));
  const auto given = share.GiveUpperImage("c");
  ASSERT_TRUE(given) << given.error().message();
  EXPECT_EQ(sys::ReadFile(share.RootfsOf("c") + "/a").value(), "a");
  EXPECT_FALSE(sys::Exists(share.RootfsOf("c") + "/new"));
  EXPECT_EQ(sys::WriteFile(share.RootfsOf("c") + "/file", "x").error().error_number(), EROFS);
  // Whole, as nobody else has it.
  Run("/sbin/e2fsck -fn " + disk.source);
  share.RemoveContainer("c");
  EXPECT_FALSE(share.UpperImageOf("c"));
  EXPECT_TRUE(share.Remove());
}

TEST_F(ImageMountsTest, AHundredLayersAreARootInTheShare) {
  const std::string id = "images-test-" + std::to_string(::getpid());
  auto share = SharedDirectory::Create(id).value();
  std::vector<RootfsMount> mounts;
  constexpr int kLayers = 100;
  for (int i = kLayers; i > 0; --i) mounts.push_back(Layer(std::to_string(i)));
  mounts.push_back(Overlay({"workdir=" + dir_.path() + "/work", "upperdir=" + dir_.path() + "/fs",
                            "lowerdir={{ overlay 0 99 }}"}));
  const std::string container(64, 'c');
  const auto left = share.AddImages(container, mounts);
  ASSERT_TRUE(left) << left.error().message();
  const auto added = share.AddRootfs(container, *left, "", false);
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_EQ(sys::ReadFile(share.RootfsOf(container) + "/top").value(), "100");
  EXPECT_EQ(sys::ReadFile(share.RootfsOf(container) + "/1").value(), "1");
  share.RemoveContainer(container);
  EXPECT_EQ(MountsBelow(SharedDirectory::RootOf(id) + "/images"), 0U);
  EXPECT_TRUE(share.Remove());
}

}  // namespace
}  // namespace kata::storage
