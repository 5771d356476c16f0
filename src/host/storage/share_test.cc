// SPDX-License-Identifier: Apache-2.0
#include "host/storage/share.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

class ShareTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/tmp/kata-share-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    id_ = "share-test-" + std::to_string(::getpid());
    share_ = std::make_unique<SharedDirectory>(SharedDirectory::Create(id_).value());
  }
  void TearDown() override {
    if (!share_) return;
    EXPECT_TRUE(share_->Remove());
    EXPECT_FALSE(sys::Exists(SharedDirectory::RootOf(id_)));
    EXPECT_TRUE(sys::RemoveTree(dir_));
  }
  // Where the guest would see `guest_path`.
  std::string Served(const std::string& guest_path) {
    const std::string prefix = SharedDirectory::kGuestDirectory;
    EXPECT_TRUE(guest_path.starts_with(prefix)) << guest_path;
    return share_->served() + "/" + guest_path.substr(prefix.size());
  }
  std::string dir_, id_;
  std::unique_ptr<SharedDirectory> share_;
};

TEST_F(ShareTest, TheTopIsReadOnlyAndARootfsBelowIsNot) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/rootfs"));
  const std::string rootfs = Served(share_->AddRootfs("c1", {}, dir_ + "/rootfs", false).value());
  EXPECT_TRUE(sys::WriteFile(rootfs + "/file", "x"));
  EXPECT_EQ(sys::ReadFile(dir_ + "/rootfs/file").value(), "x");
  EXPECT_EQ(sys::WriteFile(share_->served() + "/file", "x").error().error_number(), EROFS);
  const std::string in_guest = std::string(SharedDirectory::kGuestDirectory) + "c1";
  EXPECT_THAT(share_->RemoveContainer("c1"), testing::ElementsAre(in_guest + "/rootfs", in_guest));
  EXPECT_FALSE(sys::Exists(rootfs));
}

TEST_F(ShareTest, AnImageIsOneFileForAllContainersAndNobodyElses) {
  const auto open = [&] { return sys::Open(dir_ + "/image", O_RDWR | O_CREAT, 0600).value(); };
  const std::string path = share_->AddDataImage("c1", open()).value();
  EXPECT_EQ(share_->AddDataImage("c2", open()).value(), path);
  ASSERT_TRUE(sys::WriteFile(Served(path), "x"));
  EXPECT_EQ(sys::ReadFile(dir_ + "/image").value(), "x");
  ImageClaims another;
  share_->RemoveContainer("c1");
  EXPECT_FALSE(another.Add("c3", open()));
  EXPECT_THAT(share_->RemoveContainer("c2"), testing::ElementsAre(path));
  EXPECT_TRUE(another.Add("c3", open()));
}

TEST_F(ShareTest, TheHostKeepsWhatItHasMountedBelowARootfs) {
  const std::string root = dir_ + "/rootfs";
  ASSERT_TRUE(sys::MakeDirs(root));
  ASSERT_TRUE(sys::Mount("tmpfs", root, "tmpfs", 0UL));
  ASSERT_TRUE(sys::SetPropagation(root, MS_SHARED));
  ASSERT_TRUE(sys::MakeDirs(root + "/sub"));
  ASSERT_TRUE(sys::Mount("tmpfs", root + "/sub", "tmpfs", 0UL));
  ASSERT_TRUE(share_->AddRootfs("c1", {}, root, false));
  share_->RemoveContainer("c1");
  EXPECT_TRUE(sys::IsMountPoint(root + "/sub").value());
  ASSERT_EQ(::umount2(root.c_str(), MNT_DETACH), 0);
}

TEST_F(ShareTest, ReadOnlyHoldsOnTheHostSide) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/rootfs"));
  const std::string rootfs = Served(share_->AddRootfs("c1", {}, dir_ + "/rootfs", true).value());
  EXPECT_EQ(sys::WriteFile(rootfs + "/file", "x").error().error_number(), EROFS);
  const std::string volume =
      Served(share_->AddVolume("c1", {dir_, "/data", {"rbind", "ro"}}).value());
  EXPECT_EQ(sys::WriteFile(volume + "/file", "x").error().error_number(), EROFS);
}

TEST_F(ShareTest, IdsAreMappedInTheMountAlone) {
  const std::string source = dir_ + "/mapped";
  ASSERT_TRUE(sys::MakeDirs(source));
  ASSERT_TRUE(sys::WriteFile(source + "/file", "x"));
  Volume volume{source, "/data", {"bind"}};
  volume.ids.emplace();
  ASSERT_TRUE(volume.ids->uids.Add({.inside = 0, .outside = 1000, .size = 10}));
  ASSERT_TRUE(volume.ids->gids.Add({.inside = 0, .outside = 2000, .size = 10}));
  const auto added = share_->AddVolume("c1", volume);
  if (!added && added.error().code() == Code::kUnimplemented) {
    GTEST_SKIP() << added.error().message();
  }
  ASSERT_TRUE(added) << added.error().message();
  struct stat status{};
  ASSERT_EQ(::stat((Served(*added) + "/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1000u);
  EXPECT_EQ(status.st_gid, 2000u);
  ASSERT_EQ(::stat((source + "/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);
}

TEST_F(ShareTest, AnOverlayIsMountedOnTheHostAndGoesWithItsContainer) {
  for (const char* name : {"/lower", "/upper", "/work"}) ASSERT_TRUE(sys::MakeDirs(dir_ + name));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/lower/below", "x"));
  const auto added = share_->AddOverlay(
      "c1", 0, "/data",
      {"lowerdir=" + dir_ + "/lower", "upperdir=" + dir_ + "/upper", "workdir=" + dir_ + "/work"});
  if (!added) GTEST_SKIP() << added.error().message();  // what /tmp is may be no upper layer
  const std::string volume = Served(*added);
  EXPECT_EQ(sys::ReadFile(volume + "/below").value_or(""), "x");
  EXPECT_TRUE(sys::WriteFile(volume + "/above", "y"));
  EXPECT_EQ(sys::ReadFile(dir_ + "/upper/above").value_or(""), "y");
  share_->RemoveContainer("c1");
  EXPECT_FALSE(sys::Exists(volume));
}

TEST_F(ShareTest, ARootThatTheGuestMakesItselfStaysForTheHost) {
  const std::string root = dir_ + "/rootfs";
  ASSERT_TRUE(sys::MakeDirs(root + "/sub"));
  ASSERT_TRUE(sys::Mount("tmpfs", root + "/sub", "tmpfs", 0UL));
  const std::string rootfs = Served(share_->AddRootfs("c1", {}, root, false).value());
  const auto hidden = share_->HideRootfs("c1");
  ASSERT_TRUE(hidden) << hidden.error().message();
  EXPECT_FALSE(sys::Exists(rootfs));
  const std::string view = share_->RootfsOf("c1");
  EXPECT_TRUE(sys::IsMountPoint(view + "/sub").value());
  EXPECT_TRUE(sys::WriteFile(view + "/file", "x"));
  EXPECT_EQ(sys::ReadFile(root + "/file").value_or(""), "x");
  EXPECT_FALSE(share_->HideRootfs("c1"));
  EXPECT_THAT(share_->RemoveContainer("c1"), testing::IsEmpty());
  EXPECT_FALSE(sys::Exists(view));
  EXPECT_TRUE(sys::IsMountPoint(root + "/sub").value());
  ASSERT_EQ(::umount2((root + "/sub").c_str(), MNT_DETACH), 0);
}

TEST_F(ShareTest, ALayerIsShownOnceAndReadOnlyAsLongAsSomebodyHasIt) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/image", "layer"));
  const auto image = sys::Open(dir_ + "/image", O_RDONLY).value();
  const auto added = share_->AddLayer("c1", "key", image.get());
  ASSERT_TRUE(added) << added.error().message();
  const std::string in_guest = *added;
  // Somebody throws it out.
  ASSERT_TRUE(sys::RemoveFile(dir_ + "/image"));
  EXPECT_EQ(share_->AddLayer("c2", "key", image.get()).value(), in_guest);
  const std::string layer = Served(in_guest);
  EXPECT_EQ(sys::ReadFile(layer).value_or(""), "layer");
  EXPECT_EQ(sys::WriteFile(layer, "x").error().error_number(), EROFS);
  EXPECT_THAT(share_->RemoveContainer("c1"), testing::IsEmpty());
  EXPECT_EQ(sys::ReadFile(layer).value_or(""), "layer");
  EXPECT_THAT(share_->RemoveContainer("c2"), testing::ElementsAre(in_guest));
  EXPECT_FALSE(sys::Exists(layer));
  EXPECT_EQ(share_->AddLayer("c3", "key", image.get()).error().code(), Code::kNotFound);
}

// What the caller has mounted where this process does not see it.
TEST_F(ShareTest, SourcesAreLookedUpInTheCallersMountNamespace) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/rootfs"));
  const auto theirs = sys::Open("/proc/thread-self/ns/mnt", O_RDONLY);
  ASSERT_TRUE(theirs);
  sys::UniqueFd caller;
  ASSERT_TRUE(sys::RunInMountNamespace(theirs->get(), [&]() -> Result<void> {
    if (::unshare(CLONE_NEWNS) != 0) return FailErrno("unshare");
    KATA_TRY(sys::Mount("tmpfs", dir_ + "/rootfs", "tmpfs", 0UL));
    KATA_TRY(sys::WriteFile(dir_ + "/rootfs/mark", "x"));
    caller = KATA_TRY(sys::Open("/proc/thread-self/ns/mnt", O_RDONLY));
    return {};
  }));
  const std::string rootfs =
      Served(share_->AddRootfs("c1", {}, dir_ + "/rootfs", false, nullptr, caller.get()).value());
  EXPECT_EQ(sys::ReadFile(rootfs + "/mark").value_or(""), "x");
  EXPECT_FALSE(sys::Exists(dir_ + "/rootfs/mark"));
}

TEST_F(ShareTest, AFileAndADirectoryOfTheSameNameDoNotCollide) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/hosts", "127.0.0.1"));
  const std::string file =
      Served(share_->AddVolume("c1", {dir_ + "/hosts", "/etc/hosts", {"bind"}}).value());
  const std::string other = Served(share_->AddVolume("c1", {dir_, "/srv/hosts", {"bind"}}).value());
  EXPECT_EQ(sys::ReadFile(file).value(), "127.0.0.1");
  EXPECT_EQ(sys::ReadFile(other + "/hosts").value(), "127.0.0.1");
}

TEST_F(ShareTest, AContainerMayBeCalledLikeAVolumeOfAnother) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/rootfs"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  const std::string volume =
      Served(share_->AddVolume("c1", {dir_ + "/volume", "/data", {"bind"}}).value());
  for (const char* id : {"c1-0000000000000000-data", "0000000000000000-data"}) {
    const auto added = share_->AddRootfs(id, {}, dir_ + "/rootfs", false);
    ASSERT_TRUE(added) << added.error().message();
    EXPECT_FALSE(sys::Exists(dir_ + "/volume/rootfs")) << "made in a volume of " << id;
    share_->RemoveContainer(id);
    EXPECT_TRUE(sys::Exists(volume));
  }
  share_->RemoveContainer("c1");
  EXPECT_FALSE(sys::Exists(volume));
}

TEST_F(ShareTest, MountsContainerdsList) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/lower"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/upper"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/work"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/lower/file", "below"));
  const std::vector<RootfsMount> mounts = {
      {"overlay",
       "overlay",
       {"lowerdir=" + dir_ + "/lower", "upperdir=" + dir_ + "/upper",
        "workdir=" + dir_ + "/work"}}};
  const auto guest_path = share_->AddRootfs("c1", mounts, "", false);
  ASSERT_TRUE(guest_path) << guest_path.error().message();
  const std::string rootfs = Served(*guest_path);
  EXPECT_EQ(sys::ReadFile(rootfs + "/file").value(), "below");
  ASSERT_TRUE(sys::WriteFile(rootfs + "/new", "x"));
  EXPECT_EQ(sys::ReadFile(dir_ + "/upper/new").value(), "x");
  share_->RemoveContainer("c1");
  EXPECT_FALSE(sys::Exists(rootfs));
}

TEST_F(ShareTest, NamesWhatIsMissing) {
  const auto rootfs = share_->AddRootfs("c1", {}, dir_ + "/nowhere", false);
  EXPECT_EQ(rootfs.error().code(), Code::kNotFound);
  EXPECT_THAT(rootfs.error().message(), HasSubstr(dir_ + "/nowhere"));
  EXPECT_EQ(share_->AddVolume("c1", {dir_ + "/nowhere", "/x", {"bind"}}).error().code(),
            Code::kNotFound);
  EXPECT_EQ(share_->AddRootfs("c1", {{"nosuchfs", "none", {}}}, "", false).error().error_number(),
            ENODEV);
}

}  // namespace
}  // namespace kata::storage
