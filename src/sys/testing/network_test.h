// SPDX-License-Identifier: Apache-2.0
//
// sys/testing/network_test.h - tests with real interfaces, in a network namespace of their own.
// They need root, and are skipped without.
#pragma once

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "sys/netns.h"
#include "sys/rtnetlink.h"

namespace kata::sys::testing {

class NetworkTest : public ::testing::Test {
 protected:
  // What else a test needs is made in SetUpNetwork().
  void SetUp() final {
    auto made = MakeNetworkNamespace();
    if (!made && made.error().code() == Code::kPermissionDenied) {
      GTEST_SKIP() << "needs root: " << made.error().message();
    }
    ASSERT_TRUE(made) << made.error().message();
    ns_ = *std::move(made);
    auto opened = RunInNetns(ns_.get(), [] { return NetlinkSocket::Open(); });
    ASSERT_TRUE(opened) << opened.error().message();
    socket_.emplace(*std::move(opened));
    SetUpNetwork();
  }
  virtual void SetUpNetwork() {}

  Link Find(const std::string& name) {
    auto link = FindLink(*socket_, name);
    EXPECT_TRUE(link) << link.error().message();
    return link.value_or(Link());
  }

  UniqueFd ns_;
  std::optional<NetlinkSocket> socket_;
};

}  // namespace kata::sys::testing
