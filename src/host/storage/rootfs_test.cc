// SPDX-License-Identifier: Apache-2.0
#include "host/storage/rootfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::storage {
namespace {

using testing::ElementsAre;

TEST(Rootfs, RefusesWhatItWouldMountOtherwiseThanAsked) {
  const auto refused = [](RootfsMount mount) {
    const auto mounted = MountRootfs({std::move(mount)}, "/nonexistent");
    return mounted ? "" : mounted.error().message();
  };
  EXPECT_THAT(refused({"bind", "/etc", {"rbind", "gidmap=0:100000:65536"}}),
              testing::HasSubstr("uidmap and gidmap belong together"));
  EXPECT_THAT(refused({"xfs", "/snapshots/3", {"loop"}}),
              testing::HasSubstr("the whole root, as a disk of the VM"));
}

TEST(RelativeOverlay, CutsTheCommonParentFromEveryPath) {
  const RelativeOverlay relative =
      MakeOverlayRelative({"index=off", "workdir=/snap/12/work", "upperdir=/snap/12/fs",
                           "lowerdir=/snap/2/fs:/snap/1/fs"});
  EXPECT_EQ(relative.directory, "/snap");
  EXPECT_THAT(relative.options,
              ElementsAre("index=off", "workdir=12/work", "upperdir=12/fs", "lowerdir=2/fs:1/fs"));
}

TEST(RelativeOverlay, CutsAtAWholeComponent) {
  const RelativeOverlay relative = MakeOverlayRelative({"lowerdir=/a/one:/a/only"});
  EXPECT_EQ(relative.directory, "/a");
  EXPECT_THAT(relative.options, ElementsAre("lowerdir=one:only"));
}

TEST(RelativeOverlay, CutsTheParentOfTheLayersAloneWhereTheUpperIsElsewhere) {
  const RelativeOverlay relative = MakeOverlayRelative(
      {"upperdir=/var/6/fs", "workdir=/var/6/work", "lowerdir=/run/t/2:/run/t/1"});
  EXPECT_EQ(relative.directory, "/run/t");
  EXPECT_THAT(relative.options,
              ElementsAre("upperdir=/var/6/fs", "workdir=/var/6/work", "lowerdir=2:1"));
}

TEST(RelativeOverlay, LeavesPathsWithoutACommonParentAlone) {
  const std::vector<std::string> options = {"lowerdir=/a/x:/b/y"};
  const RelativeOverlay relative = MakeOverlayRelative(options);
  EXPECT_EQ(relative.directory, "");
  EXPECT_EQ(relative.options, options);
}

}  // namespace
}  // namespace kata::storage
