// SPDX-License-Identifier: Apache-2.0
//
// Needs root, for device nodes and trusted extended attributes.
#include "guest/agent/storage/upper_mirror.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "guest/agent/storage/upper_disk.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"

namespace kata::guest {
namespace {

constexpr uid_t kUser = 1000;

class UpperMirrorTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    ASSERT_TRUE(sys::MakeDirs(From("")));
    ASSERT_TRUE(sys::MakeDirs(To("")));
  }

  std::string From(const std::string& name) const { return dir_.path() + "/from/" + name; }
  std::string To(const std::string& name) const { return dir_.path() + "/to/" + name; }
  static struct stat StatusOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status;
  }
  static void SetAttribute(const std::string& path, const char* name, const std::string& value) {
    EXPECT_EQ(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0), 0) << path;
  }
  static std::string Attribute(const std::string& path, const char* name) {
    std::string value(256, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return value;
  }
  MirrorReport Mirror(const MirrorTimes& times = {}) const {
    const auto report = MirrorUpper(From(""), To(""), times);
    EXPECT_TRUE(report) << report.error().message();
    return report.value_or(MirrorReport());
  }

  sys::TemporaryDir dir_{"upper-mirror"};
};

TEST_F(UpperMirrorTest, FilesComeWithOwnerModeTimesAndAttributes) {
  ASSERT_TRUE(sys::MakeDirs(From("a/b")));
  ASSERT_TRUE(sys::WriteFile(From("a/b/file"), "content"));
  ASSERT_EQ(::chown(From("a/b/file").c_str(), kUser, kUser), 0);
  ASSERT_EQ(::chmod(From("a/b/file").c_str(), 04751), 0);
  SetAttribute(From("a/b/file"), "user.note", "value");
  SetAttribute(From("a/b/file"), "trusted.note", "value");
  const timespec old[2] = {{.tv_sec = 5, .tv_nsec = 6}, {.tv_sec = 7, .tv_nsec = 8}};
  ASSERT_EQ(::utimensat(AT_FDCWD, From("a/b/file").c_str(), old, 0), 0);
  ASSERT_EQ(::chmod(From("a").c_str(), 01777), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, From("a").c_str(), old, 0), 0);
  const MirrorReport report = Mirror();
  EXPECT_EQ(report.copied, 1u);
  EXPECT_EQ(report.bytes, 7u);
  EXPECT_EQ(report.lost_attributes, 0u);
  EXPECT_EQ(*sys::ReadFile(To("a/b/file")), "content");
  const struct stat file = StatusOf(To("a/b/file"));
  EXPECT_EQ(file.st_mode & 07777, 04751u);
  EXPECT_EQ(file.st_uid, kUser);
  EXPECT_EQ(file.st_mtim.tv_sec, 7);
  EXPECT_EQ(file.st_mtim.tv_nsec, 8);
  EXPECT_EQ(Attribute(To("a/b/file"), "user.note"), "value");
  EXPECT_EQ(Attribute(To("a/b/file"), "trusted.note"), "value");
  EXPECT_EQ(StatusOf(To("a")).st_mode & 07777, 01777u);
  EXPECT_EQ(StatusOf(To("a")).st_mtim.tv_sec, 7);
}

TEST_F(UpperMirrorTest, CapabilitiesOfAFileOfAnotherOwnerStay) {
  ASSERT_TRUE(sys::WriteFile(From("file"), "x"));
  ASSERT_EQ(::chown(From("file").c_str(), kUser, kUser), 0);
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00",
      20);
  SetAttribute(From("file"), "security.capability", capability);
  Mirror();
  EXPECT_EQ(Attribute(To("file"), "security.capability"), capability);
}

TEST_F(UpperMirrorTest, WhatAnOverlayMakesOfDeletionsComesAsItIs) {
  ASSERT_EQ(::mknod(From("gone").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(::link(From("gone").c_str(), From("gone too").c_str()), 0);
  ASSERT_TRUE(sys::MakeDirs(From("new")));
  SetAttribute(From("new"), "trusted.overlay.opaque", "y");
  SetAttribute(From("new"), "trusted.overlay.impure", "y");
  SetAttribute(From("new"), "trusted.overlay.origin", "handle");
  ASSERT_TRUE(sys::WriteFile(To("gone"), "was a file"));
  ASSERT_TRUE(sys::MakeDirs(To("gone too/deep")));
  Mirror();
  for (const char* name : {"gone", "gone too"}) {
    EXPECT_TRUE(S_ISCHR(StatusOf(To(name)).st_mode));
    EXPECT_EQ(StatusOf(To(name)).st_rdev, 0u);
  }
  EXPECT_EQ(Attribute(To("new"), "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Attribute(To("new"), "trusted.overlay.impure"), "");
  EXPECT_EQ(Attribute(To("new"), "trusted.overlay.origin"), "");
}

TEST_F(UpperMirrorTest, AttributesThatADirectoryHasLostGo) {
  ASSERT_TRUE(sys::MakeDirs(From("directory")));
  ASSERT_TRUE(sys::MakeDirs(To("directory")));
  SetAttribute(To("directory"), "trusted.overlay.opaque", "y");
  SetAttribute(To("directory"), "user.note", "value");
  Mirror();
  EXPECT_EQ(Attribute(To("directory"), "trusted.overlay.opaque"), "");
  EXPECT_EQ(Attribute(To("directory"), "user.note"), "");
}

TEST_F(UpperMirrorTest, LinksDevicesAndFifosComeAsWhatTheyAre) {
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/outside", "kept"));
  ASSERT_EQ(::symlink("../outside", From("link").c_str()), 0);
  ASSERT_EQ(::lchown(From("link").c_str(), kUser, kUser), 0);
  ASSERT_EQ(::mkfifo(From("fifo").c_str(), 0640), 0);
  ASSERT_EQ(::mknod(From("null").c_str(), S_IFCHR, makedev(1, 3)), 0);
  ASSERT_EQ(::chmod(From("null").c_str(), 0666), 0);
  ASSERT_TRUE(sys::WriteFile(From("one"), "same"));
  ASSERT_TRUE(sys::MakeDirs(From("sub")));
  ASSERT_EQ(::link(From("one").c_str(), From("sub/two").c_str()), 0);
  Mirror();
  char target[64] = {};
  EXPECT_EQ(::readlink(To("link").c_str(), target, sizeof target), 10);
  EXPECT_EQ(std::string(target), "../outside");
  EXPECT_EQ(StatusOf(To("link")).st_uid, kUser);
  EXPECT_EQ(StatusOf(dir_.path() + "/outside").st_uid, 0u);
  EXPECT_EQ(StatusOf(To("fifo")).st_mode, S_IFIFO | 0640u);
  EXPECT_EQ(StatusOf(To("null")).st_rdev, makedev(1, 3));
  EXPECT_EQ(StatusOf(To("null")).st_mode & 07777, 0666u);
  EXPECT_EQ(StatusOf(To("one")).st_ino, StatusOf(To("sub/two")).st_ino);
}

TEST_F(UpperMirrorTest, HolesStayHoles) {
  constexpr off_t kSize = 64 << 20;
  const sys::UniqueFd file(::open(From("sparse").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::pwrite(file.get(), "middle", 6, kSize / 2), 6);
  ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
  const MirrorReport report = Mirror();
  EXPECT_LT(report.bytes, uint64_t{1} << 20);
  const struct stat made = StatusOf(To("sparse"));
  EXPECT_EQ(made.st_size, kSize);
  EXPECT_LT(made.st_blocks * 512, 1 << 20);
}

TEST_F(UpperMirrorTest, WhatIsNotInTheSourceGoesUnlessItIsNewer) {
  ASSERT_TRUE(sys::MakeDirs(To("old/deep")));
  ASSERT_TRUE(sys::WriteFile(To("old/deep/file"), "x"));
  ASSERT_TRUE(sys::MakeDirs(From("both")));
  ASSERT_TRUE(sys::MakeDirs(To("both")));
  // Until the clock of inodes' times has gone on.
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/stamp", ""));
  const timespec before = StatusOf(dir_.path() + "/stamp").st_ctim;
  struct stat late{};
  do {
    ASSERT_TRUE(sys::WriteFile(To("both/late"), "put there by the host"));
    late = StatusOf(To("both/late"));
  } while (late.st_ctim.tv_sec == before.tv_sec && late.st_ctim.tv_nsec <= before.tv_nsec);
  const MirrorReport report = Mirror({.unchanged_before = {}, .kept_after = before});
  EXPECT_EQ(report.removed, 1u);
  EXPECT_FALSE(sys::Exists(To("old")));
  EXPECT_EQ(*sys::ReadFile(To("both/late")), "put there by the host");
  EXPECT_EQ(Mirror().removed, 1u) << "without a time nothing stays";
}

TEST_F(UpperMirrorTest, OnlyWhatWasChangedIsCopiedAgain) {
  ASSERT_TRUE(sys::WriteFile(From("same"), "1"));
  ASSERT_TRUE(sys::WriteFile(From("changed"), "1"));
  EXPECT_EQ(Mirror().copied, 2u);
  timespec between{};
  ::clock_gettime(CLOCK_REALTIME, &between);
  timespec now{};
  do {
    ASSERT_TRUE(sys::WriteFile(From("changed"), "2"));
    now = StatusOf(From("changed")).st_ctim;
  } while (now.tv_sec == between.tv_sec && now.tv_nsec < between.tv_nsec);
  EXPECT_EQ(Mirror({.unchanged_before = between, .kept_after = {}}).copied, 1u);
  EXPECT_EQ(*sys::ReadFile(To("changed")), "2");
  ASSERT_TRUE(sys::WriteFile(To("same"), "changed on the other side"));
  EXPECT_EQ(Mirror({.unchanged_before = between, .kept_after = {}}).copied, 2u);
  EXPECT_EQ(*sys::ReadFile(To("same")), "1");
}

TEST_F(UpperMirrorTest, AnErrorNamesTheEntry) {
  ASSERT_TRUE(sys::MakeDirs(From("a/b")));
  ASSERT_TRUE(sys::WriteFile(From("a/b/big"), std::string(1 << 20, 'x')));
  ASSERT_EQ(::mount("small", To("").c_str(), "tmpfs", 0, "size=64k"), 0);
  const auto report = MirrorUpper(From(""), To(""));
  ::umount2(To("").c_str(), MNT_DETACH);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::kResourceExhausted);
  EXPECT_NE(report.error().message().find("a/b/big"), std::string::npos)
      << report.error().message();
}

class UpperDiskTest : public UpperMirrorTest {
 protected:
  UpperDisk Disk() const { return {.upper = dir_.path() + "/disk/upper", .host = To("")}; }
};

TEST_F(UpperDiskTest, ItBeginsAsTheHostsAndIsBroughtBack) {
  ASSERT_EQ(::chmod(To("").c_str(), 0710), 0);
  ASSERT_TRUE(sys::WriteFile(To("file"), "1"));
  ASSERT_TRUE(sys::WriteFile(To("to go"), "1"));
  const auto filled = FillUpperDisk(Disk());
  ASSERT_TRUE(filled) << filled.error().message();
  EXPECT_EQ(StatusOf(Disk().upper).st_mode & 07777, 0710u);
  EXPECT_EQ(*sys::ReadFile(Disk().upper + "/file"), "1");
  ASSERT_TRUE(sys::WriteFile(Disk().upper + "/new", "2"));
  ASSERT_TRUE(sys::RemoveFile(Disk().upper + "/to go"));
  const auto back = BringUpperBack(Disk());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*sys::ReadFile(To("new")), "2");
  EXPECT_FALSE(sys::Exists(To("to go")));
}

TEST_F(UpperDiskTest, ADiskThatAMachineHasLeftIsNotFilledAgain) {
  ASSERT_TRUE(sys::WriteFile(To("file"), "the host's"));
  ASSERT_TRUE(FillUpperDisk(Disk()));
  ASSERT_TRUE(sys::WriteFile(Disk().upper + "/file", "the container's"));
  ASSERT_TRUE(FillUpperDisk(Disk()));
  EXPECT_EQ(*sys::ReadFile(Disk().upper + "/file"), "the container's");
}

TEST_F(UpperDiskTest, AFillingThatWasCutOffIsBegunAgain) {
  ASSERT_TRUE(sys::WriteFile(To("file"), "1"));
  ASSERT_TRUE(sys::MakeDirs(Disk().upper + ".part/half"));
  ASSERT_TRUE(FillUpperDisk(Disk()));
  EXPECT_FALSE(sys::Exists(Disk().upper + "/half"));
  EXPECT_EQ(*sys::ReadFile(Disk().upper + "/file"), "1");
}

TEST_F(UpperDiskTest, TheOptionNeedsAnUpperDirectory) {
  agent::Storage storage;
  storage.add_options("lowerdir+=/l");
  EXPECT_FALSE(UpperDiskOf(storage)->has_value());
  storage.add_driver_options("io.katacontainers.kata-cpp.upper_of=/host");
  EXPECT_EQ(UpperDiskOf(storage).error().code(), Code::kInvalidArgument);
  storage.add_options("upperdir=/disk/upper");
  const auto disk = UpperDiskOf(storage);
  ASSERT_TRUE(disk && disk->has_value());
  EXPECT_EQ((*disk)->upper, "/disk/upper");
  EXPECT_EQ((*disk)->host, "/host");
}

}  // namespace
}  // namespace kata::guest
