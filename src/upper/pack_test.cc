// SPDX-License-Identifier: Apache-2.0
//
// Needs root, for device nodes and trusted extended attributes.
#include "upper/pack.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proto/upper.pb.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"
#include "sys/testing/mount_test.h"
#include "upper/area.h"
#include "upper/unpack.h"

namespace kata::upper {
namespace {

constexpr uint64_t kRoom = 64 << 20;
constexpr uid_t kUser = 1000;

class PackTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    ASSERT_TRUE(sys::MakeDirs(From("")));
    ASSERT_TRUE(sys::MakeDirs(To("")));
    disk_ = *sys::Open(dir_.path() + "/disk", O_RDWR | O_CREAT, 0600);
  }

  Area TheArea() const { return {.fd = disk_.get(), .begin = 0, .bytes = kRoom}; }
  std::string From(const std::string& name) const { return dir_.path() + "/from/" + name; }
  std::string To(const std::string& name) const { return dir_.path() + "/to/" + name; }
  static struct stat StatusOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status;
  }
  static std::string ValueOf(const std::string& path, const char* name) {
    std::string value(256, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return value;
  }
  static void SetAttribute(const std::string& path, const char* name, const std::string& value) {
    EXPECT_EQ(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0), 0) << path;
  }

  Result<UnpackReport> Bring(uint64_t base = 0, const timespec& unchanged = {},
                             const timespec& kept = {}) {
    generation_ = KATA_TRY(WriteLayer(TheArea(), From(""), base, unchanged)).generation;
    const auto state = KATA_TRY(ReadStreamState(TheArea()));
    return ReadLayer(TheArea(), *state, To(""), kept);
  }

  // The stream of these entries below the layer itself; a file's is of one byte.
  Result<UnpackReport> Read(const std::vector<Entry>& entries) {
    StreamWriter writer({.fd = disk_.get(), .begin = 0, .bytes = kRoom});
    Entry top;
    top.set_kind(Entry::KIND_DIRECTORY);
    top.set_mode(S_IFDIR | 0755);
    KATA_TRY(writer.Write(top));
    for (const Entry& entry : entries) {
      KATA_TRY(writer.Write(entry));
      if (entry.kind() == Entry::KIND_FILE) KATA_TRY(writer.Write(Extent()));
    }
    const uint64_t bytes = KATA_TRY(writer.Finish());
    StreamReader reader({.fd = disk_.get(), .begin = 0, .bytes = bytes});
    return Unpack(reader, To(""), {});
  }
  static Entry Make(Entry::Kind kind, const std::string& name, mode_t mode = S_IFREG | 0644) {
    Entry entry;
    entry.set_kind(kind);
    entry.set_name(name);
    entry.set_mode(mode);
    return entry;
  }
  static Entry End() { return Make(Entry::KIND_END, ""); }

  sys::TemporaryDir dir_{"upper-pack"};
  sys::UniqueFd disk_;
  uint64_t generation_ = 0;
};

TEST_F(PackTest, FilesComeWithOwnerModeTimesAndAttributes) {
  ASSERT_TRUE(sys::MakeDirs(From("a/b")));
  ASSERT_TRUE(sys::WriteFile(From("a/b/file"), std::string(1 << 20, 'x')));
  ASSERT_EQ(::chown(From("a/b/file").c_str(), kUser, kUser), 0);
  ASSERT_EQ(::chmod(From("a/b/file").c_str(), 04751), 0);
  SetAttribute(From("a"), "trusted.overlay.opaque", "y");
  SetAttribute(From("a"), "trusted.overlay.origin", "of one file system");
  SetAttribute(From("a/b/file"), "user.mine", "value");
  const timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 1}, {.tv_sec = 2000, .tv_nsec = 2}};
  for (const char* name : {"a/b/file", "a"}) {
    ASSERT_EQ(::utimensat(AT_FDCWD, From(name).c_str(), times, 0), 0);
  }
  const auto report = Bring();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->files, 1U);
  EXPECT_EQ(report->bytes, 1U << 20);
  const struct stat status = StatusOf(To("a/b/file"));
  EXPECT_EQ(status.st_mode, S_IFREG | 04751U);
  EXPECT_EQ(status.st_uid, kUser);
  EXPECT_EQ(status.st_mtim.tv_sec, 2000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 2);
  EXPECT_EQ(StatusOf(To("a")).st_mtim.tv_sec, 2000);
  EXPECT_EQ(ValueOf(To("a"), "trusted.overlay.opaque"), "y");
  EXPECT_EQ(ValueOf(To("a"), "trusted.overlay.origin"), "");
  EXPECT_EQ(ValueOf(To("a/b/file"), "user.mine"), "value");
}

TEST_F(PackTest, AllKindsOfFilesCome) {
  ASSERT_EQ(::symlink("/nowhere", From("link").c_str()), 0);
  ASSERT_EQ(::mknod(From("whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_EQ(::mknod(From("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::chmod(From("null").c_str(), 0666), 0);
  ASSERT_EQ(::mkfifo(From("fifo").c_str(), 0600), 0);
  ASSERT_TRUE(sys::WriteFile(From("one"), "1"));
  ASSERT_EQ(::link(From("one").c_str(), From("two").c_str()), 0);
  ASSERT_TRUE(sys::WriteFile(From("sparse"), "begin"));
  ASSERT_EQ(::truncate(From("sparse").c_str(), 1 << 30), 0);
  ASSERT_TRUE(Bring());
  EXPECT_TRUE(S_ISLNK(StatusOf(To("link")).st_mode));
  EXPECT_EQ(StatusOf(To("whiteout")).st_rdev, makedev(0, 0));
  EXPECT_EQ(StatusOf(To("null")).st_rdev, makedev(1, 3));
  EXPECT_EQ(StatusOf(To("null")).st_mode, S_IFCHR | 0666U);
  EXPECT_TRUE(S_ISFIFO(StatusOf(To("fifo")).st_mode));
  EXPECT_EQ(StatusOf(To("one")).st_ino, StatusOf(To("two")).st_ino);
  EXPECT_EQ(StatusOf(To("sparse")).st_size, 1 << 30);
  EXPECT_LT(StatusOf(To("sparse")).st_blocks, 100);
}

TEST_F(PackTest, WhatIsNotThereAnyMoreGoes) {
  ASSERT_TRUE(sys::MakeDirs(From("becomes-file")));
  ASSERT_TRUE(sys::WriteFile(From("becomes-directory"), "x"));
  ASSERT_TRUE(sys::WriteFile(From("goes"), "x"));
  ASSERT_TRUE(Bring());
  ASSERT_TRUE(sys::RemoveTree(From("becomes-file")));
  ASSERT_TRUE(sys::RemoveTree(From("becomes-directory")));
  ASSERT_TRUE(sys::RemoveTree(From("goes")));
  ASSERT_TRUE(sys::WriteFile(From("becomes-file"), "y"));
  ASSERT_TRUE(sys::MakeDirs(From("becomes-directory/deep")));
  const auto report = Bring();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->removed, 1U);
  EXPECT_TRUE(S_ISREG(StatusOf(To("becomes-file")).st_mode));
  EXPECT_TRUE(sys::Exists(To("becomes-directory/deep")));
  EXPECT_FALSE(sys::Exists(To("goes")));
}

TEST_F(PackTest, WhatOthersHavePutThereStays) {
  ASSERT_TRUE(sys::WriteFile(To("old"), "x"));
  constexpr timespec kLongAgo{.tv_sec = 1, .tv_nsec = 0};
  ASSERT_TRUE(Bring(0, {}, kLongAgo));
  EXPECT_TRUE(sys::Exists(To("old")));
  ASSERT_TRUE(Bring());
  EXPECT_FALSE(sys::Exists(To("old")));
}

TEST_F(PackTest, WhatHasNotChangedIsNotWrittenAgain) {
  ASSERT_TRUE(sys::WriteFile(From("file"), "x"));
  ASSERT_EQ(::link(From("file").c_str(), From("name").c_str()), 0);
  ASSERT_TRUE(Bring());
  const auto inode = StatusOf(To("file")).st_ino;
  constexpr timespec kMuchLater{.tv_sec = int64_t{1} << 40, .tv_nsec = 0};
  auto report = Bring(generation_, kMuchLater);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->files, 0U);
  EXPECT_EQ(StatusOf(To("file")).st_ino, inode);
  EXPECT_EQ(StatusOf(To("name")).st_ino, inode);
  // But where it is not what it was.
  ASSERT_TRUE(sys::WriteFile(To("file"), "longer"));
  report = Bring(generation_, kMuchLater);
  EXPECT_EQ(report.error().code(), Code::kDataLoss);
  ASSERT_TRUE(Bring());
}

TEST_F(PackTest, NamesThatLeadElsewhereAreRefused) {
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/outside", "x"));
  for (const char* name : {"", ".", "..", "../outside", "a/b"}) {
    const auto read = Read({Make(Entry::KIND_FILE, name), End()});
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << name;
  }
  const auto twice = Read({Make(Entry::KIND_FILE, "b"), Make(Entry::KIND_FILE, "a"), End()});
  EXPECT_EQ(twice.error().code(), Code::kDataLoss);
  EXPECT_TRUE(sys::Exists(dir_.path() + "/outside"));
}

TEST_F(PackTest, LinksLeadNowhereElse) {
  ASSERT_TRUE(sys::WriteFile(dir_.path() + "/outside", "x"));
  Entry away = Make(Entry::KIND_NODE, "away", S_IFLNK | 0777);
  away.set_target("..");
  for (const char* target :
       {"../outside", "/etc/passwd", "away/outside", "away", "", "..", "none"}) {
    Entry link = Make(Entry::KIND_LINK, "link");
    link.set_target(target);
    const auto read = Read({away, link, End()});
    // A further name of the symbolic link itself is one of the container's own.
    EXPECT_EQ(read.has_value(), std::string(target) == "away") << target;
    EXPECT_EQ(StatusOf(dir_.path() + "/outside").st_nlink, 1U) << target;
  }
}

TEST_F(PackTest, ADirectoryIsNeverAnExistingLink) {
  ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/outside"));
  ASSERT_EQ(::symlink("../outside", To("a").c_str()), 0);
  ASSERT_TRUE(Read({Make(Entry::KIND_DIRECTORY, "a", S_IFDIR | 0755),
                    Make(Entry::KIND_FILE, "file"), End(), End()}));
  EXPECT_TRUE(S_ISDIR(StatusOf(To("a")).st_mode));
  EXPECT_FALSE(sys::Exists(dir_.path() + "/outside/file"));
}

TEST_F(PackTest, AttributesThatShowFilesOfTheHostAreLeftOut) {
  Entry file = Make(Entry::KIND_FILE, "file");
  for (const char* name :
       {"trusted.overlay.redirect", "trusted.overlay.metacopy", "security.selinux", "user.mine"}) {
    Attribute& added = *file.add_attributes();
    added.set_name(name);
    added.set_value("/secret");
  }
  const auto report = Read({file, End()});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->lost_attributes, 3U);
  EXPECT_EQ(ValueOf(To("file"), "trusted.overlay.redirect"), "");
  EXPECT_EQ(ValueOf(To("file"), "user.mine"), "/secret");
}

TEST_F(PackTest, DirectoriesInEachOtherHaveAnEnd) {
  std::vector<Entry> entries(kDeepest + 1, Make(Entry::KIND_DIRECTORY, "a", S_IFDIR | 0755));
  EXPECT_EQ(Read(entries).error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kata::upper
