// SPDX-License-Identifier: Apache-2.0
#include "host/network/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

Settings Fresh() {
  return {{"ipv4/ip_forward", "0"},
          {"ipv4/ip_local_port_range", "32768\t60999"},
          {"ipv4/ping_group_range", "1\t0"},
          {"core/somaxconn", "4096"},
          {"ipv4/conf/all/forwarding", "0"},
          {"ipv4/conf/default/forwarding", "0"},
          {"ipv4/conf/all/rp_filter", "0"},
          {"ipv4/conf/default/rp_filter", "0"},
          {"ipv6/conf/all/disable_ipv6", "0"},
          {"ipv6/conf/default/disable_ipv6", "0"},
          {"ipv6/conf/all/accept_dad", "0"},
          {"ipv6/conf/default/accept_dad", "1"}};
}

sys::Link LinkWith(const std::string& name, int32_t forwarding, int32_t rp_filter,
                   int32_t disable_ipv6, int32_t accept_dad) {
  sys::Link link;
  link.name = name;
  link.ipv4_settings.resize(30);
  link.ipv4_settings[0] = forwarding;
  link.ipv4_settings[7] = rp_filter;
  link.ipv6_settings.resize(30);
  link.ipv6_settings[26] = disable_ipv6;
  link.ipv6_settings[27] = accept_dad;
  return link;
}

NamespaceView View(const sys::Link& link) {
  NamespaceView view;
  view.endpoints.push_back({.link = link, .addresses = {}, .neighbors = {}});
  return view;
}

Settings Plan(const Settings& read, const NamespaceView& view = {}) {
  return PlanSettings(read, view, SettingsFor::kFrames);
}

TEST(NetworkSettings, OfANewNamespaceNothingIsTold) {
  EXPECT_THAT(Plan(Fresh()), IsEmpty());
  EXPECT_THAT(Plan({}), IsEmpty());
  EXPECT_THAT(Plan(Fresh(), View(LinkWith("eth0", 0, 0, 0, 1))), IsEmpty());
}

TEST(NetworkSettings, WhatSomebodyHasSetIsTold) {
  Settings read = Fresh();
  read["ipv4/ip_local_port_range"] = "20000\t30000";
  read["core/somaxconn"] = "500";
  EXPECT_THAT(Plan(read), UnorderedElementsAre(Pair("ipv4/ip_local_port_range", "20000\t30000"),
                                               Pair("core/somaxconn", "500")));
}

TEST(NetworkSettings, WhatFollowsFromThatOfAllIsNotTold) {
  Settings read = Fresh();
  read["ipv4/ip_forward"] = read["ipv4/conf/all/forwarding"] =
      read["ipv4/conf/default/forwarding"] = "1";
  EXPECT_THAT(
      Plan(read, View(LinkWith("eth0", 1, 0, 0, 1))),
      UnorderedElementsAre(Pair("ipv4/ip_forward", "1"), Pair("ipv4/conf/all/forwarding", "1")));
}

TEST(NetworkSettings, AnExceptionFromThatOfAllIsTold) {
  Settings read = Fresh();
  read["ipv4/ip_forward"] = read["ipv4/conf/all/forwarding"] = "1";
  EXPECT_THAT(
      Plan(read, View(LinkWith("eth0.100", 0, 0, 0, 1))),
      UnorderedElementsAre(Pair("ipv4/ip_forward", "1"), Pair("ipv4/conf/all/forwarding", "1"),
                           Pair("ipv4/conf/default/forwarding", "0"),
                           Pair("ipv4/conf/eth0.100/forwarding", "0")));
}

TEST(NetworkSettings, OfAnInterfaceItsOwnAreTold) {
  EXPECT_THAT(Plan(Fresh(), View(LinkWith("eth0", 0, 2, 1, 0))),
              UnorderedElementsAre(Pair("ipv4/conf/eth0/rp_filter", "2"),
                                   Pair("ipv6/conf/eth0/disable_ipv6", "1"),
                                   Pair("ipv6/conf/eth0/accept_dad", "0")));
}

// The guest's interface may have been there before the guest heard of the default.
TEST(NetworkSettings, OfAnInterfaceTheNamespacesDefaultIsToldToo) {
  Settings read = Fresh();
  read["ipv4/conf/default/rp_filter"] = "1";
  EXPECT_THAT(Plan(read, View(LinkWith("eth0", 0, 1, 0, 1))),
              UnorderedElementsAre(Pair("ipv4/conf/default/rp_filter", "1"),
                                   Pair("ipv4/conf/eth0/rp_filter", "1")));
  EXPECT_THAT(Plan(read, View(LinkWith("eth0", 0, 0, 0, 1))),
              UnorderedElementsAre(Pair("ipv4/conf/default/rp_filter", "1"),
                                   Pair("ipv4/conf/eth0/rp_filter", "0")));
}

TEST(NetworkSettings, TheLoopbackHasSomeOfIpv6ByItself) {
  NamespaceView view;
  view.loopback = LinkWith("lo", 0, 0, 0, -1);
  EXPECT_THAT(Plan(Fresh(), view), IsEmpty());
  view.loopback = LinkWith("lo", 0, 1, 1, -1);
  EXPECT_THAT(Plan(Fresh(), view), UnorderedElementsAre(Pair("ipv4/conf/lo/rp_filter", "1"),
                                                        Pair("ipv6/conf/lo/disable_ipv6", "1")));
}

TEST(NetworkSettings, BySocketsInterfacesHaveNone) {
  Settings read = Fresh();
  read["ipv4/ip_forward"] = "1";
  EXPECT_THAT(PlanSettings(read, View(LinkWith("eth0", 1, 2, 0, 0)), SettingsFor::kSockets),
              UnorderedElementsAre(Pair("ipv4/ip_forward", "1")));
}

TEST(NetworkSettings, AreReadFromTheKernel) {
  const Settings frames = ReadSettings(SettingsFor::kFrames);
  EXPECT_TRUE(frames.contains("ipv4/ip_forward"));
  EXPECT_TRUE(frames.contains("ipv4/conf/default/rp_filter"));
  const Settings sockets = ReadSettings(SettingsFor::kSockets);
  EXPECT_TRUE(sockets.contains("ipv4/ip_local_port_range"));
  EXPECT_FALSE(sockets.contains("ipv4/conf/default/rp_filter"));
  EXPECT_FALSE(sockets.contains("ipv4/tcp_ecn"));
}

}  // namespace
}  // namespace kata::network
