// SPDX-License-Identifier: Apache-2.0
#include "host/machine/host_cgroup.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/cgroups.h"

namespace kata::sandbox {
namespace {

struct PathCase {
  const char* given;
  const char* meant;
};

TEST(HostCgroupPath, MeansWhatRuncMeans) {
  constexpr PathCase kCases[] = {
      {"", ""},
      {"/libpod_parent/libpod-ab12", "/libpod_parent/libpod-ab12"},
      {"docker/ab12/", "/docker/ab12"},
      {"/a//./b", "/a/b"},
      {"system.slice:docker:ab12", "/system.slice/docker-ab12.scope"},
      {":docker:ab12", "/system.slice/docker-ab12.scope"},
      {"-.slice:x:ab12", "/x-ab12.scope"},
      {"kubepods-besteffort-pod1.slice:cri-containerd:ab12",
       "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/"
       "cri-containerd-ab12.scope"},
      {"machine.slice::ab12", "/machine.slice/ab12.scope"},
      {"user.slice:ignored:own.slice", "/user.slice/own.slice"},
  };
  for (const auto& [given, meant] : kCases) {
    const auto path = HostCgroupPath(given);
    ASSERT_TRUE(path) << given;
    EXPECT_EQ(*path, meant) << given;
  }
}

TEST(HostCgroupPath, RefusesToClimbAndNoSlices) {
  for (const char* given : {"/a/../../b", "..", "a:b:c", ".slice:b:c", "x.slice:..:../.."}) {
    const auto path = HostCgroupPath(given);
    if (path) ADD_FAILURE() << given << " gave " << *path;
  }
}

TEST(HostCgroup, IsNobodysBeforeItIsEntered) {
  const auto cgroup = HostCgroup::Plan("/kata-test-never-made");
  ASSERT_TRUE(cgroup);
  for (const std::string& directory : cgroup->ours()) {
    EXPECT_TRUE(directory.ends_with("/kata-test-never-made")) << directory;
  }
}

TEST(HostCgroup, HoldsTheProcessUntilItLeaves) {
  const std::string path = "/kata-test-" + std::to_string(::getpid());
  auto cgroup = HostCgroup::Plan(path);
  ASSERT_TRUE(cgroup);
  const auto before = sys::ReadCgroupDirs(::getpid());
  if (const auto entered = cgroup->Enter(); !entered) {
    cgroup->Leave();
    for (const std::string& directory : cgroup->ours()) ::rmdir(directory.c_str());
    GTEST_SKIP() << entered.error().message();
  }
  const auto inside = sys::ReadCgroupDirs(::getpid());
  ASSERT_TRUE(inside);
  for (const std::string& directory : *inside) {
    EXPECT_TRUE(directory.ends_with(path)) << directory;
  }
  cgroup->Leave();
  EXPECT_EQ(sys::ReadCgroupDirs(::getpid()).value(), before.value());
  for (const std::string& directory : cgroup->ours()) EXPECT_EQ(::rmdir(directory.c_str()), 0);
}

}  // namespace
}  // namespace kata::sandbox
