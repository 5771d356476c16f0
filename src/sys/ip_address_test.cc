// SPDX-License-Identifier: Apache-2.0
#include "sys/ip_address.h"

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

TEST(IpAddress, ReadsAndWritesBothFamilies) {
  for (const char* text : {"10.0.0.1", "0.0.0.0", "::", "fe80::1", "2001:db8::5"}) {
    const auto address = IpAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->Text(), text);
    EXPECT_EQ(IpAddress::FromBytes(address->Bytes()), address);
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "host", "fe80::1%eth0", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::FromBytes("12345"));
}

TEST(IpAddress, KnowsLinkLocalOnes) {
  EXPECT_TRUE(IpAddress::Parse("fe80::1")->IsLinkLocal());
  EXPECT_TRUE(IpAddress::Parse("febf::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("fec0::1")->IsLinkLocal());
  EXPECT_FALSE(IpAddress::Parse("169.254.0.1")->IsLinkLocal());
}

TEST(IpPrefix, ReadsAndWrites) {
  EXPECT_EQ(IpPrefix::Parse("10.1.0.0/16")->Text(), "10.1.0.0/16");
  EXPECT_EQ(IpPrefix::Parse("10.1.0.9")->length, 32);
  EXPECT_EQ(IpPrefix::Parse("2001:db8::/64")->length, 64);
  for (const char* text : {"10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8x"}) {
    EXPECT_FALSE(IpPrefix::Parse(text)) << text;
  }
}

TEST(MacAddress, ReadsAndWrites) {
  const auto mac = ParseMac("02:42:ac:11:00:fe");
  ASSERT_TRUE(mac);
  EXPECT_EQ(MacText(*mac), "02:42:ac:11:00:fe");
  for (const char* text : {"", "02:42:ac:11:00", "02-42-ac-11-00-02", "02:42:ac:11:00:g1",
                           "02:42:ac:11:00:02:03", "2:42:ac:11:00:0200"}) {
    EXPECT_FALSE(ParseMac(text)) << text;
  }
}

TEST(MacAddress, RandomOnesAreLocalUnicastAndDiffer) {
  const MacAddress mac = RandomMac();
  EXPECT_EQ(mac[0] & 3, 2);
  EXPECT_NE(mac, RandomMac());
}

TEST(IpAddress, KnowsTheLoopbackAndEveryAddress) {
  const auto parsed = [](const char* text) { return *IpAddress::Parse(text); };
  for (const char* text : {"127.0.0.1", "127.255.0.9", "::1"}) {
    EXPECT_TRUE(parsed(text).IsLoopback()) << text;
  }
  for (const char* text : {"128.0.0.1", "::2", "::", "::ffff:127.0.0.1", "100::1"}) {
    EXPECT_FALSE(parsed(text).IsLoopback()) << text;
  }
  EXPECT_TRUE(parsed("0.0.0.0").IsAny());
  EXPECT_TRUE(parsed("::").IsAny());
  EXPECT_FALSE(parsed("::1").IsAny());
  EXPECT_EQ(parsed("0.0.0.0").LoopbackIfAny().Text(), "127.0.0.1");
  EXPECT_EQ(parsed("::").LoopbackIfAny().Text(), "::1");
  EXPECT_EQ(parsed("10.0.0.1").LoopbackIfAny().Text(), "10.0.0.1");
}

TEST(IpAddress, OfIpv6MayStandForOneOfIpv4) {
  EXPECT_EQ(IpAddress::Parse("::ffff:10.0.0.1")->Unmapped(), *IpAddress::Parse("10.0.0.1"));
  for (const char* text : {"10.0.0.1", "fd00::1", "::fffe:10.0.0.1", "::10.0.0.1"}) {
    EXPECT_EQ(IpAddress::Parse(text)->Unmapped(), *IpAddress::Parse(text)) << text;
  }
}

}  // namespace
}  // namespace kata::sys
