// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/channel.h"

#include <gtest/gtest.h>

namespace kata::guest {
namespace {

TEST(ParseAddress, ReadsTheThreeKinds) {
  EXPECT_EQ(ParseAddress("vsock://-1:1024").value(), Address(VsockAddress{0xffffffff, 1024}));
  EXPECT_EQ(ParseAddress("vsock://3:1").value(), Address(VsockAddress{3, 1}));
  EXPECT_EQ(ParseAddress("virtio-serial://org.kata-containers.agent.0").value(),
            Address(VirtioPortAddress{"org.kata-containers.agent.0"}));
  EXPECT_EQ(ParseAddress("unix:///run/agent.sock").value(),
            Address(UnixAddress{"/run/agent.sock"}));
}

TEST(ParseAddress, RefusesEverythingElse) {
  for (const char* text :
       {"", "vsock", "vsock://", "vsock://3", "vsock://3:", "vsock://x:1", "vsock://3:99999999999",
        "vsock://-2:1", "virtio-serial://", "unix://", "tcp://1.2.3.4:5"}) {
    const auto address = ParseAddress(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code(), Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace kata::guest
