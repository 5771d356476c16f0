// SPDX-License-Identifier: Apache-2.0
#include "host/shim/address.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace kata::shim {
namespace {

TEST(SocketPath, IsNamedAfterTheHashOfAddressNamespaceAndId) {
  const auto path =
      SocketPath(kDefaultSocketDir, "/run/containerd/containerd.sock", "default", "a");
  ASSERT_TRUE(path);
  EXPECT_EQ(*path, "/run/containerd/s/" + Sha256Hex("/run/containerd/containerd.sock/default/a"));
}

TEST(SocketPath, RefusesADirectoryThatMakesItTooLong) {
  const auto path = SocketPath(std::string(64, 'd'), "/c.sock", "default", "a");
  ASSERT_FALSE(path);
  EXPECT_EQ(path.error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::shim
