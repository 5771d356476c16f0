// SPDX-License-Identifier: Apache-2.0
#include "host/storage/overlay_table.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ReasonOf(const Result<OverlayTable>& table) {
  if (table) return "";
  EXPECT_EQ(table.error().code(), Code::kUnimplemented);
  return table.error().message();
}

std::string OptionReason(const std::string& option, const OverlayDefaults& defaults = {}) {
  return ReasonOf(
      ParseOverlayOptions({"lowerdir=/a", "upperdir=/u", "workdir=/w", option}, defaults));
}

TEST(OverlayOptions, AreReadAsContainerdWritesThem) {
  const OverlayTable table =
      ParseOverlayOptions({"index=off", "workdir=/s/12/work", "upperdir=/s/12/fs",
                           "lowerdir=/s/2/fs:/s/1/fs", "volatile"})
          .value();
  EXPECT_EQ(table, (OverlayTable{{"/s/2/fs", "/s/1/fs"}, "/s/12/fs", "/s/12/work"}));
}

TEST(OverlayOptions, OfAViewHaveNoUpperDirectory) {
  const OverlayTable table = ParseOverlayOptions({"ro", "lowerdir=/2:/1"}).value();
  EXPECT_EQ(table, (OverlayTable{{"/2", "/1"}, "", "", true}));
}

TEST(OverlayOptions, MayHoldEscapedCharacters) {
  const OverlayTable table = ParseOverlayOptions({R"(lowerdir=/odd\,\ na\:me\\x:/b,ro)"}).value();
  EXPECT_THAT(table.lowers, ElementsAre(R"(/odd, na:me\x)", "/b"));
  EXPECT_TRUE(table.read_only);
}

TEST(OverlayOptions, ThatASecondOverlayCannotHaveAreAReason) {
  EXPECT_THAT(OptionReason("metacopy=on"), HasSubstr("metacopy=on"));
  EXPECT_THAT(OptionReason("redirect_dir=on"), HasSubstr("redirect_dir=on"));
  EXPECT_THAT(OptionReason("redirect_dir=follow"), HasSubstr("redirect_dir=on"));
  EXPECT_THAT(OptionReason("index=on"), HasSubstr("index=on"));
  EXPECT_THAT(OptionReason("userxattr"), HasSubstr("userxattr"));
  EXPECT_THAT(OptionReason("uidmap=0:100000:65536"), HasSubstr("uidmap"));
  EXPECT_THAT(OptionReason("verity=require"), HasSubstr("verity"));
  EXPECT_THAT(OptionReason("datadir+=/d"), HasSubstr("datadir+"));
  EXPECT_THAT(OptionReason("lowerdir=/a::/d"), HasSubstr("data only"));
  EXPECT_THAT(OptionReason(R"(upperdir=/a\:b)"), HasSubstr("backslash"));
  EXPECT_THAT(OptionReason("workdir="), HasSubstr("work directory"));
  EXPECT_THAT(ReasonOf(ParseOverlayOptions({"upperdir=/a", "workdir=/b"})), HasSubstr("lower"));
  EXPECT_EQ(OptionReason("verity=off"), "");
}

TEST(OverlayOptions, ThatAreLeftOutMeanWhatTheKernelTakesThemFor) {
  EXPECT_THAT(OptionReason("ro", {.redirect_dir = true}), HasSubstr("redirect_dir=on"));
  EXPECT_THAT(OptionReason("ro", {.metacopy = true}), HasSubstr("metacopy=on"));
  EXPECT_THAT(OptionReason("ro", {.index = true}), HasSubstr("index=on"));
  EXPECT_EQ(OptionReason("redirect_dir=nofollow", {.redirect_dir = true}), "");
  EXPECT_EQ(OptionReason("index=off", {.index = true}), "");
}

// Lines of Linux 6.18.
TEST(OverlaySuperOptions, AreReadAsTheKernelWritesThem) {
  const auto read = [](std::string_view line) { return ParseOverlaySuperOptions(line).value(); };
  EXPECT_EQ(read("rw,lowerdir=/d/l/AB:/d/l/CD,upperdir=/d/u,workdir=/d/w,uuid=on"),
            (OverlayTable{{"/d/l/AB", "/d/l/CD"}, "/d/u", "/d/w"}));
  EXPECT_EQ(read("rw,lowerdir=l/AB:l/CD,upperdir=u,workdir=w"),
            (OverlayTable{{"l/AB", "l/CD"}, "u", "w"}));
  EXPECT_THAT(
      read(R"(rw,lowerdir=/odd\134\054\040na\134:me\134\134x:/b,upperdir=/u,workdir=/w)").lowers,
      ElementsAre(R"(/odd, na:me\x)", "/b"));
  EXPECT_THAT(
      read(R"(rw,lowerdir+=/b,lowerdir+=/odd\054\040na:me\134x,upperdir=/u,workdir=/w)").lowers,
      ElementsAre("/b", R"(/odd, na:me\x)"));
  EXPECT_EQ(read("ro,lowerdir=l1:l2,redirect_dir=on"), (OverlayTable{{"l1", "l2"}, "", "", true}));
  EXPECT_EQ(ReasonOf(ParseOverlaySuperOptions(
                "rw,lowerdir=/b::/c,upperdir=/u,workdir=/w,redirect_dir=on,metacopy=on")),
            "it has layers of data only");
}

class FindOverlayTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/var/tmp/kata-overlay-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    // An overlay cannot be above another one, which /var/tmp may be on.
    ASSERT_TRUE(sys::Mount("tmpfs", dir_, "tmpfs", 0));
    for (const char* each : {"l", "2/diff", "1/diff", "c/diff", "c/work", "c/merged"}) {
      ASSERT_TRUE(sys::MakeDirs(dir_ + "/" + each));
    }
    ASSERT_EQ(::symlink("../2/diff", (dir_ + "/l/AB").c_str()), 0);
    ASSERT_EQ(::symlink("../1/diff", (dir_ + "/l/CD").c_str()), 0);
    whole_ = {{dir_ + "/2/diff", dir_ + "/1/diff"}, dir_ + "/c/diff", dir_ + "/c/work"};
  }
  void TearDown() override {
    if (dir_.empty()) return;
    ::umount2(dir_.c_str(), MNT_DETACH);
    ::rmdir(dir_.c_str());
  }
  // As Docker does.
  void Mount(const std::string& options) const {
    ASSERT_EQ(::chdir(dir_.c_str()), 0);
    const auto mounted = sys::Mount("overlay", merged(), "overlay", 0, options);
    ASSERT_EQ(::chdir("/"), 0);
    ASSERT_TRUE(mounted) << mounted.error().message();
  }
  std::string merged() const { return dir_ + "/c/merged"; }
  std::string Reason() const { return ReasonOf(FindOverlay(merged(), -1)); }
  std::string dir_;
  OverlayTable whole_;
};

TEST_F(FindOverlayTest, FollowsTheLinksThatDockerMakes) {
  Mount("lowerdir=" + dir_ + "/l/AB:" + dir_ + "/l/CD,upperdir=" + dir_ +
        "/c/diff,workdir=" + dir_ + "/c/work");
  EXPECT_EQ(FindOverlay(merged(), -1).value(), whole_);
}

TEST_F(FindOverlayTest, KnowsWhatShortenedPathsAreRelativeTo) {
  Mount("lowerdir=l/AB:l/CD,upperdir=c/diff,workdir=c/work");
  EXPECT_EQ(FindOverlay(merged(), -1).value(), whole_);
}

TEST_F(FindOverlayTest, LooksInTheNamespaceOfTheCaller) {
  const auto own = sys::Open("/proc/thread-self/ns/mnt", O_RDONLY).value();
  Mount("lowerdir=l/AB:l/CD,upperdir=c/diff,workdir=c/work");
  const auto with_mount = sys::Open("/proc/thread-self/ns/mnt", O_RDONLY).value();
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ::umount2(merged().c_str(), MNT_DETACH);
  EXPECT_EQ(FindOverlay(merged(), with_mount.get()).value(), whole_);
  EXPECT_EQ(Reason(), "it is a directory, no mount of its own");
}

TEST_F(FindOverlayTest, DoesNotTakeDirectoriesOfTheSameNames) {
  Mount("lowerdir=l/AB:l/CD,upperdir=c/diff,workdir=c/work");
  ASSERT_EQ(::rename((dir_ + "/c/diff").c_str(), (dir_ + "/c/old").c_str()), 0);
  EXPECT_THAT(Reason(), HasSubstr("No such file"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/c/diff"));
  EXPECT_EQ(Reason(), "its directories are others by now");
}

TEST_F(FindOverlayTest, WantsAWholeOneWithNothingBelow) {
  EXPECT_EQ(Reason(), "it is a directory, no mount of its own");
  Mount("lowerdir=l/AB:l/CD,upperdir=c/diff,workdir=c/work");
  ASSERT_TRUE(sys::MakeDirs(merged() + "/part"));
  ASSERT_TRUE(sys::Mount("tmpfs", merged() + "/part", "tmpfs", 0));
  EXPECT_EQ(Reason(), "other mounts are below it");
  ASSERT_TRUE(sys::Unmount(merged() + "/part", 0));
  sys::MountOptions bind;
  bind.Add("bind");
  ASSERT_TRUE(sys::BindMount(merged() + "/part", merged(), bind));
  EXPECT_EQ(Reason(), "it is a part of an overlay");
  ASSERT_TRUE(sys::Mount("tmpfs", merged(), "tmpfs", 0));
  EXPECT_EQ(Reason(), "it is of type tmpfs");
}

TEST_F(FindOverlayTest, WithoutAnUpperDirectoryIsFoundByItsTopLayer) {
  Mount("lowerdir=l/AB:l/CD");
  EXPECT_EQ(FindOverlay(merged(), -1).value(),
            (OverlayTable{whole_.lowers, "", "", /*read_only=*/true}));
}

TEST(ResolveOverlay, RefusesWhatLeadsNowhere) {
  EXPECT_THAT(ReasonOf(ResolveOverlay({{"l/AB"}, "", ""})), HasSubstr("unknown directory"));
  EXPECT_THAT(ReasonOf(ResolveOverlay({{"/nonexistent"}, "", ""})), HasSubstr("No such file"));
  EXPECT_THAT(ReasonOf(ResolveOverlay({{"/etc/passwd"}, "", ""})), HasSubstr("no directory"));
  EXPECT_THAT(ReasonOf(ResolveOverlay({{"/etc"}, "/etc", "/usr/bin"})),
              HasSubstr("not in one directory"));
}

}  // namespace
}  // namespace kata::storage
