// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/network_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

// A directory in place of /proc/sys/net.
class NetworkSettingsTest : public testing::Test {
 protected:
  void Put(const std::string& name, const std::string& value) {
    const std::string path = root() + "/" + name;
    ASSERT_TRUE(sys::MakeDirs(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(sys::WriteFile(path, value + "\n"));
  }
  std::string Get(const std::string& name) const {
    std::string value = sys::ReadFile(root() + "/" + name).value_or("missing");
    if (value.ends_with('\n')) value.pop_back();
    // A file is not cut short by what is written, as the kernel's are.
    return value.substr(0, value.find('\n'));
  }
  const std::string& root() const { return directory_.path(); }

  sys::TemporaryDir directory_{"settings"};
  NetworkSettings settings_{root()};
};

TEST_F(NetworkSettingsTest, AreSetAndGetBackWhatTheyWere) {
  Put("ipv4/ip_forward", "0");
  Put("core/somaxconn", "4096");
  ASSERT_TRUE(settings_.Update({{"ipv4/ip_forward", "1"}, {"core/somaxconn", "0500"}}));
  EXPECT_EQ(Get("ipv4/ip_forward"), "1");
  EXPECT_EQ(Get("core/somaxconn"), "0500");
  ASSERT_TRUE(settings_.Update({{"core/somaxconn", "0500"}}));
  EXPECT_EQ(Get("ipv4/ip_forward"), "0");
  EXPECT_EQ(Get("core/somaxconn"), "0500");
  ASSERT_TRUE(settings_.Update({}));
  EXPECT_EQ(Get("core/somaxconn"), "4096");
}

TEST_F(NetworkSettingsTest, WhatASpecificationSetsIsNotTouched) {
  Put("ipv4/ip_forward", "0");
  Put("ipv4/conf/eth0/forwarding", "0");
  Put("ipv4/conf/eth0/rp_filter", "0");
  settings_.Claim("net.ipv4.ip_forward");
  settings_.Claim("net/ipv4/conf/eth0.1/rp_filter");
  settings_.Claim("kernel.shmmax");
  ASSERT_TRUE(settings_.Update({{"ipv4/ip_forward", "1"},
                                {"ipv4/conf/eth0/forwarding", "1"},
                                {"ipv4/conf/eth0/rp_filter", "2"}}));
  EXPECT_EQ(Get("ipv4/ip_forward"), "0");
  EXPECT_EQ(Get("ipv4/conf/eth0/forwarding"), "0");
  EXPECT_EQ(Get("ipv4/conf/eth0/rp_filter"), "2");
}

TEST_F(NetworkSettingsTest, WhatAContainerHasMadeOfItSinceStays) {
  Put("core/somaxconn", "4096");
  Put("ipv4/tcp_sack", "1");
  ASSERT_TRUE(settings_.Update({{"core/somaxconn", "0500"}}));
  Put("core/somaxconn", "77");
  ASSERT_TRUE(settings_.Update({{"core/somaxconn", "0500"}, {"ipv4/tcp_sack", "0"}}));
  EXPECT_EQ(Get("core/somaxconn"), "77");
  EXPECT_EQ(Get("ipv4/tcp_sack"), "0");
}

TEST_F(NetworkSettingsTest, ThoseOfAnInterfaceWaitForIt) {
  ASSERT_TRUE(settings_.Update({{"ipv4/conf/eth0/rp_filter", "2"}}));
  Put("ipv4/conf/eth0/rp_filter", "0");
  Put("ipv4/conf/eth1/rp_filter", "0");
  settings_.Apply("eth1");
  settings_.Apply("eth0");
  EXPECT_EQ(Get("ipv4/conf/eth0/rp_filter"), "2");
  EXPECT_EQ(Get("ipv4/conf/eth1/rp_filter"), "0");
  // Another one of the name has nothing to get back.
  settings_.Forget("eth0");
  Put("ipv4/conf/eth0/rp_filter", "1");
  ASSERT_TRUE(settings_.Update({}));
  EXPECT_EQ(Get("ipv4/conf/eth0/rp_filter"), "1");
}

TEST_F(NetworkSettingsTest, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "ipv4", "/ipv4/x", "../kernel/x", "ipv4/../../kernel/x"}) {
    EXPECT_FALSE(settings_.Update({{name, "1"}})) << name;
  }
}

TEST(DecidesTest, WhatIsSetForAllDecidesAboutEach) {
  const auto forward = {"ipv4/ip_forward", "ipv4/conf/all/forwarding",
                        "ipv4/conf/default/forwarding", "ipv4/conf/eth0/forwarding"};
  for (const char* name : forward) {
    EXPECT_TRUE(Decides("ipv4/ip_forward", name)) << name;
    EXPECT_TRUE(Decides("ipv4/conf/all/forwarding", name)) << name;
  }
  EXPECT_TRUE(Decides("ipv6/conf/all/disable_ipv6", "ipv6/conf/eth0/disable_ipv6"));
  EXPECT_TRUE(Decides("ipv4/conf/all/rp_filter", "ipv4/conf/all/rp_filter"));
}

TEST(DecidesTest, OthersDecideAboutThemselves) {
  EXPECT_FALSE(Decides("ipv4/conf/all/rp_filter", "ipv4/conf/eth0/rp_filter"));
  EXPECT_FALSE(Decides("ipv4/conf/eth0/forwarding", "ipv4/ip_forward"));
  EXPECT_FALSE(Decides("ipv4/ip_forward", "ipv6/conf/all/forwarding"));
  EXPECT_FALSE(Decides("ipv4/ip_forward", "ipv4/ip_nonlocal_bind"));
  EXPECT_FALSE(Decides("ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6"));
}

}  // namespace
}  // namespace kata::guest
