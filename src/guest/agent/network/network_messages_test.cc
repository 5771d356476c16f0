// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/network_messages.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <gtest/gtest.h>

namespace kata::guest {
namespace {

TEST(NetworkMessages, AddressesComeBackAsTheyWere) {
  types::IPAddress message;
  message.set_family(types::v4);
  message.set_address("10.0.0.2");
  message.set_mask("24");
  message.set_broadcast("10.0.0.255");
  message.set_peer("10.0.0.1");
  message.set_scope(RT_SCOPE_LINK);
  const auto address = ReadAddress(message);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->prefix.Text(), "10.0.0.2/24");
  types::IPAddress again;
  FillAddress(*address, &again);
  EXPECT_EQ(again.SerializeAsString(), message.SerializeAsString());
}

TEST(NetworkMessages, AddressesThatAreNoneAreRefusedWithTheirText) {
  types::IPAddress message;
  message.set_address("10.0.0.2");
  message.set_mask("33");
  const auto address = ReadAddress(message);
  ASSERT_FALSE(address);
  EXPECT_EQ(address.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(address.error().message(), "address \"10.0.0.2/33\"");
  message.set_mask("24");
  message.set_peer("x");
  EXPECT_FALSE(ReadAddress(message));
}

TEST(NetworkMessages, ANeighborIsPermanentUnlessItSays) {
  types::ARPNeighbor message;
  message.mutable_to_ip_address()->set_address("10.0.0.9");
  message.set_lladdr("02:00:00:00:00:09");
  EXPECT_EQ(ReadNeighbor(message)->state, NUD_PERMANENT);
  message.set_state(NUD_NOARP);
  EXPECT_EQ(ReadNeighbor(message)->state, NUD_NOARP);
  message.set_lladdr("02");
  EXPECT_FALSE(ReadNeighbor(message));
}

TEST(NetworkMessages, NamesOfLinksAreTheKernels) {
  for (const char* good : {"eth0", "a", "br-0123456789ab", "eth0.100", "x@y"}) {
    EXPECT_TRUE(CheckLinkName(good)) << good;
  }
  for (const char* bad : {"", ".", "..", "a/b", "a b", "a:b", "eth%d", "sixteen-letters-"}) {
    EXPECT_FALSE(CheckLinkName(bad)) << bad;
  }
}

}  // namespace
}  // namespace kata::guest
