// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroups.h"

#include <stdlib.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kHybrid[] =
    "30 24 0:27 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
    "32 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "35 24 0:31 / /mnt/again rw - cgroup cgroup rw,memory\n";
constexpr char kUnified[] = "30 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

std::vector<CgroupHierarchy> Find(const char* mountinfo) {
  return FindCgroupHierarchies(ParseMountInfo(mountinfo));
}

TEST(Cgroups, FindsEachHierarchyOnce) {
  const auto found = Find(kHybrid);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_TRUE(found[0].unified());
  EXPECT_THAT(found[1].controllers, ElementsAre("name=systemd"));
  EXPECT_THAT(found[2].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(found[3].mount_point, "/sys/fs/cgroup/memory");
}

TEST(Cgroups, FindsWhereAProcessIsInEveryLayout) {
  EXPECT_THAT(CgroupDirsOf(Find(kHybrid),
                           "4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/a\n1:name=systemd:/s\n0::/u\n"),
              ElementsAre("/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/cpu,cpuacct",
                          "/sys/fs/cgroup/systemd/s", "/sys/fs/cgroup/unified/u"));
  EXPECT_THAT(CgroupDirsOf(Find(kUnified), "0::/user.slice/a:b.scope\n"),
              ElementsAre("/sys/fs/cgroup/user.slice/a:b.scope"));
}

TEST(Cgroups, LeavesOutWhatAMountDoesNotShow) {
  const auto inside = Find("30 24 0:27 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  EXPECT_THAT(CgroupDirsOf(inside, "0::/docker/ab/c\n"), ElementsAre("/sys/fs/cgroup/c"));
  EXPECT_THAT(CgroupDirsOf(inside, "0::/docker/ab\n"), ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(CgroupDirsOf(inside, "0::/docker/abc\n"), IsEmpty());
  EXPECT_THAT(CgroupDirsOf(inside, "0::/elsewhere\n4:memory:/x\nnonsense\n"), IsEmpty());
}

TEST(Cgroups, RefusesToClimb) {
  const auto made = MakeCgroup(Find(kUnified).front(), "/../../../tmp/x");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::kInvalidArgument);
}

TEST(Cgroups, KnowsWhereThisProcessIs) {
  const auto directories = ReadCgroupDirs(::getpid());
  ASSERT_TRUE(directories);
  for (const std::string& directory : *directories) {
    EXPECT_EQ(::access((directory + "/cgroup.procs").c_str(), F_OK), 0) << directory;
  }
}

TEST(Cgroups, TellsFrozenOnesOfBothVersions) {
  char name[] = "/tmp/kata-cgroups-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  EXPECT_FALSE(IsFrozen(directory));
  ASSERT_TRUE(WriteFile(directory + "/cgroup.events", "populated 0\nfrozen 0\n"));
  EXPECT_FALSE(IsFrozen(directory));
  ASSERT_TRUE(WriteFile(directory + "/cgroup.events", "populated 0\nfrozen 1\n"));
  EXPECT_TRUE(IsFrozen(directory));
  ASSERT_TRUE(WriteFile(directory + "/freezer.state", "THAWED\n"));
  EXPECT_FALSE(IsFrozen(directory));
  ASSERT_TRUE(WriteFile(directory + "/freezer.state", "FREEZING\n"));
  EXPECT_TRUE(IsFrozen(directory));
  EXPECT_TRUE(RemoveTree(directory));
}

}  // namespace
}  // namespace kata::sys
