// SPDX-License-Identifier: Apache-2.0
//
// Needs root: the kernel tells of each setting of an interface at a place of its own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "host/network/settings.h"
#include "sys/files.h"
#include "sys/testing/network_test.h"

namespace kata::network {
namespace {

using LinkSettingsTest = sys::testing::NetworkTest;

// Writes another value, and gives it.
Result<std::string> Change(const std::string& path) {
  const std::string before = KATA_TRY(sys::ReadFile("/proc/sys/net/" + path));
  std::string after = before.starts_with("0") ? "1" : "0";
  KATA_TRY(sys::WriteControl("/proc/sys/net/" + path, after));
  return after;
}

TEST_F(LinkSettingsTest, EachOfAnInterfaceIsTold) {
  ASSERT_TRUE(sys::AddVethPair(*socket_, "eth0", "far"));
  size_t changed = 0;
  Settings listed;
  ASSERT_TRUE(
      sys::RunOnNetnsThread(ns_.get(), [&] { listed = ReadSettings(SettingsFor::kFrames); }));
  for (const auto& [name, value] : listed) {
    const size_t usual = name.find("/default/");
    if (usual == name.npos) continue;
    const std::string path = name.substr(0, usual) + "/eth0/" + name.substr(usual + 9);
    const auto now = sys::RunInNetns(ns_.get(), [&] { return Change(path); });
    ASSERT_TRUE(now) << now.error().message();
    ++changed;
    NamespaceView view;
    view.endpoints = {{.link = Find("eth0"), .addresses = {}, .neighbors = {}}};
    const Settings plan = PlanSettings(listed, view, SettingsFor::kFrames);
    const auto told = plan.find(path);
    EXPECT_EQ(told == plan.end() ? "nothing" : told->second, *now) << path;
  }
  EXPECT_GE(changed, 25U);
}

}  // namespace
}  // namespace kata::network
