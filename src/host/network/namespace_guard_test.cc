// SPDX-License-Identifier: Apache-2.0
#include "host/network/namespace_guard.h"

#include <fcntl.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/netns.h"
#include "sys/process.h"

namespace kata::network {
namespace {

using testing::HasSubstr;

TEST(CheckNamespace, RefusesTheHostsOwn) {
  const auto fd = sys::OpenNetworkNamespace("/proc/self/ns/net");
  ASSERT_TRUE(fd);
  const auto checked = CheckNamespace(fd->get(), "/proc/self/ns/net");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(checked.error().message(), HasSubstr("the host's own"));
}

TEST(CheckNamespace, RefusesOneInWhichSomebodyLives) {
  const auto ns = sys::MakeNetworkNamespace();
  if (!ns) GTEST_SKIP() << "needs root";
  EXPECT_TRUE(CheckNamespace(ns->get(), "/run/netns/x"));
  auto child = sys::ChildProcess::Spawn({.argv = {"sleep", "100"}, .namespace_fds = {ns->get()}});
  ASSERT_TRUE(child) << child.error().message();
  const auto checked = CheckNamespace(ns->get(), "/run/netns/x");
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("\"/run/netns/x\" is in use by process " +
                                                   std::to_string(child->pid()) + " (sleep)"));
  (void)child->Terminate(std::chrono::seconds(5));
  EXPECT_TRUE(CheckNamespace(ns->get(), "/run/netns/x"));
}

}  // namespace
}  // namespace kata::network
