// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_table.h"

#include <string>

#include <gtest/gtest.h>
#include <netinet/tcp.h>

namespace kata::sys {
namespace {

const std::string kLine =
    "   2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000  1000        0 "
    "4711 "
    "1 0000000000000000 20 4 30 10 -1";

TEST(SocketEntry, HasAddressStateAndInode) {
  const auto entry = ParseSocketEntry(kLine, AF_INET);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->own.Text(), "127.0.0.1:8081");
  EXPECT_EQ(entry->state, TCP_ESTABLISHED);
  EXPECT_EQ(entry->inode, 4711U);
}

TEST(SocketEntry, IsNoOtherLine) {
  EXPECT_FALSE(ParseSocketEntry("", AF_INET));
  EXPECT_FALSE(ParseSocketEntry("  sl  local_address rem_address   st tx_queue", AF_INET));
  EXPECT_FALSE(ParseSocketEntry(kLine, AF_INET6));
  for (size_t size = 0; size < kLine.find(" 01 ") + 2; ++size) {
    EXPECT_FALSE(ParseSocketEntry(kLine.substr(0, size), AF_INET)) << size;
  }
}

}  // namespace
}  // namespace kata::sys
