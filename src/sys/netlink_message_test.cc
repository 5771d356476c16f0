// SPDX-License-Identifier: Apache-2.0
#include "sys/netlink_message.h"

#include <linux/netlink.h>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using namespace std::string_literals;

TEST(NetlinkMessage, TakesMessagesOffADatagram) {
  std::string bytes = NetlinkRequest(20, 0).Put(1, "ab").Finish(7);
  bytes += NetlinkRequest(21, NLM_F_ACK).Finish(8);
  std::string_view rest = bytes;
  auto message = TakeMessage(&rest);
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->type, 20);
  EXPECT_EQ((*message)->sequence, 7U);
  EXPECT_EQ(Attributes((*message)->body).Find(1), "ab");
  message = TakeMessage(&rest);
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->flags, NLM_F_ACK | NLM_F_REQUEST);
  message = TakeMessage(&rest);
  ASSERT_TRUE(message);
  EXPECT_FALSE(*message);
}

TEST(NetlinkMessage, RefusesOneThatIsCutShort) {
  const std::string whole = NetlinkRequest(20, 0).Put(1, "abcdefgh").Finish(1);
  for (size_t size = 1; size < whole.size(); ++size) {
    std::string_view rest = std::string_view(whole).substr(0, size);
    const auto message = TakeMessage(&rest);
    ASSERT_FALSE(message) << size;
    EXPECT_EQ(message.error().code(), Code::kDataLoss);
  }
  std::string_view tiny = "\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
  EXPECT_FALSE(TakeMessage(&tiny)) << "a length below the header's";
}

TEST(Attributes, FindsByTypeWhateverTheFlags) {
  NetlinkRequest request(1, 0);
  request.PutU32(5, 77).PutText(6, "name");
  const size_t nested = request.Begin(7);
  request.PutValue(1, uint16_t{3}).PutValue(2, uint8_t{9});
  request.End(nested);
  request.Put(8, "after");
  const std::string bytes = request.Finish(1);
  const Attributes attributes(std::string_view(bytes).substr(sizeof(nlmsghdr)));
  EXPECT_EQ(attributes.U32(5), 77U);
  EXPECT_EQ(attributes.Text(6), "name");
  EXPECT_EQ(attributes.Nested(7).U16(1), 3);
  EXPECT_EQ(attributes.Nested(7).U8(2), 9);
  EXPECT_EQ(attributes.Find(8), "after");
  EXPECT_FALSE(attributes.Has(9));
  EXPECT_FALSE(attributes.U32(6)) << "another size";
  EXPECT_EQ(attributes.Text(9), "");
}

TEST(Attributes, ABrokenOneEndsTheList) {
  const std::string good = "\x06\0\x01\0ab\0\0"s;
  EXPECT_EQ(Attributes(good).Find(1), "ab");
  for (const std::string& broken : {"\x03\0\x02\0"s, "\xff\0\x02\0"s, "\x05\0\x02"s, "\0\0\0\0"s}) {
    EXPECT_FALSE(Attributes(broken + good).Has(1));
    EXPECT_EQ(Attributes(good + broken).Find(1), "ab");
    EXPECT_FALSE(Attributes(good + broken).Has(2));
  }
}

TEST(Attributes, AHeaderThatIsCutShortIsZeroes) {
  struct Header {
    uint32_t a;
    uint32_t b;
  };
  const auto header = FamilyHeader<Header>("\x01\0\0\0\x02"s);
  EXPECT_EQ(header.a, 1U);
  EXPECT_EQ(header.b, 2U);
  EXPECT_FALSE(Attributes::After<Header>("\x01\0\0\0"s).Has(0));
}

}  // namespace
}  // namespace kata::sys
