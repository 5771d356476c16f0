// SPDX-License-Identifier: Apache-2.0
#include "host/network/connection_request.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::network {
namespace {

const std::string kEther("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00", 14);
const std::string kIp(
    "\x45\x00\x00\x28\x00\x01\x40\x00\x40\x06\x00\x00\x0a\x4d\x00\x02\x0a\x63\x00\x01", 20);
const std::string kTcp(
    "\x30\x39\x00\x50\x00\x00\x00\x07\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00", 20);

uint32_t Sum(const std::string& bytes) {
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) {
    sum += static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

TEST(ConnectionRequest, HasAddressesPortsAndSequence) {
  const auto request = ParseConnectionRequest(kEther + kIp + kTcp);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->from.Text(), "10.77.0.2:12345");
  EXPECT_EQ(request->to.Text(), "10.99.0.1:80");
  EXPECT_EQ(request->sequence, 7U);
}

TEST(ConnectionRequest, IsNothingElse) {
  const std::string frame = kEther + kIp + kTcp;
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(ParseConnectionRequest(frame.substr(0, size))) << size;
  }
  const struct {
    size_t at;
    char value;
  } changes[] = {{12, 0x09}, {14, 0x46}, {14, 0x65}, {20, 0x20}, {21, 0x01},
                 {23, 0x11}, {47, 0x12}, {47, 0x10}, {47, 0x06}, {47, 0x03}};
  for (const auto& change : changes) {
    std::string other = frame;
    other[change.at] = change.value;
    EXPECT_FALSE(ParseConnectionRequest(other)) << change.at;
  }
}

TEST(ConnectionRequest, IsRefusedByAnAnswerWithRightSums) {
  const std::string frame = kEther + kIp + kTcp;
  const std::string refusal = RefusalOf(frame, *ParseConnectionRequest(frame));
  ASSERT_EQ(refusal.size(), frame.size());
  EXPECT_EQ(refusal.substr(0, 6), frame.substr(6, 6));
  EXPECT_EQ(refusal.substr(6, 6), frame.substr(0, 6));
  const std::string ip = refusal.substr(14, 20);
  const std::string tcp = refusal.substr(34);
  EXPECT_EQ(Sum(ip), 0xffffU);
  EXPECT_EQ(Sum(ip.substr(12) + std::string("\x00\x06\x00\x14", 4) + tcp), 0xffffU);
  EXPECT_EQ(ip.substr(12, 4), kIp.substr(16, 4));
  EXPECT_EQ(tcp.substr(8, 4), std::string("\x00\x00\x00\x08", 4));
  EXPECT_EQ(tcp[13], 0x14);
}

}  // namespace
}  // namespace kata::network
