// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/agent_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::hypervisor {
namespace {

TEST(ChooseAgentChannel, FollowsTheHostAndTheVmm) {
  const Capabilities qemu{.vsock = true, .virtio_serial = true};
  const auto chosen = ChooseAgentChannel("auto", qemu);
  ASSERT_TRUE(chosen) << chosen.error().message();
  EXPECT_EQ(std::holds_alternative<VsockChannel>(*chosen), sys::Exists("/dev/vhost-vsock"));

  const Capabilities firecracker{.hybrid_vsock = true};
  const auto hybrid = ChooseAgentChannel("auto", firecracker, "/run/v.sock");
  ASSERT_TRUE(hybrid);
  EXPECT_EQ(std::get<HybridVsockChannel>(*hybrid).path, "/run/v.sock");

  const auto serial = ChooseAgentChannel("virtio-serial", qemu);
  ASSERT_TRUE(serial);
  EXPECT_TRUE(std::holds_alternative<VirtioSerialChannel>(*serial));
}

TEST(ChooseAgentChannel, RefusesWhatIsNotThere) {
  const Capabilities serial_only{.virtio_serial = true};
  EXPECT_EQ(ChooseAgentChannel("vsock", serial_only).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(ChooseAgentChannel("pigeon", serial_only).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(ChooseAgentChannel("auto", Capabilities{}).error().code(), Code::kInvalidArgument);
}

TEST(AllocateVsock, NamesTheMissingDevice) {
  const auto vsock = AllocateVsock("/nonexistent/vhost-vsock");
  ASSERT_FALSE(vsock);
  EXPECT_EQ(vsock.error().code(), Code::kNotFound);
}

TEST(AllocateVsock, GivesDifferentIds) {
  if (!sys::Exists("/dev/vhost-vsock")) GTEST_SKIP() << "no /dev/vhost-vsock here";
  const auto first = AllocateVsock();
  const auto second = AllocateVsock();
  ASSERT_TRUE(first && second);
  EXPECT_GE(first->cid, 3u);
  EXPECT_NE(first->cid, second->cid);
}

}  // namespace
}  // namespace kata::hypervisor
