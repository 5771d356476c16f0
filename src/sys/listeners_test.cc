// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using ::testing::ElementsAre;

constexpr char kTable[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    "   2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0\n"
    "   3: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n";

std::vector<std::string> Texts(std::string_view table, int family) {
  std::vector<std::string> texts;
  for (const SocketAddress& each : ParseListeners(table, family)) texts.push_back(each.Text());
  return texts;
}

TEST(Listeners, ComeBeforeAllOthers) {
  EXPECT_THAT(Texts(kTable, AF_INET), ElementsAre("127.0.0.1:8080", "0.0.0.0:22"));
}

TEST(Listeners, OfIpv6AreWordsOfTheMachine) {
  EXPECT_THAT(Texts("head\n   0: 00000000000000000000000001000000:0277 "
                    "00000000000000000000000000000000:0000 0A 0\n",
                    AF_INET6),
              ElementsAre("[::1]:631"));
}

TEST(Listeners, OfABrokenTableAreThoseThatCanBeRead) {
  const std::string table = kTable;
  for (size_t size = 0; size < table.size(); ++size) {
    EXPECT_LE(ParseListeners(table.substr(0, size), AF_INET).size(), 2U);
  }
  EXPECT_TRUE(ParseListeners("head\n 0: 0100007F 0 0A\n 1: zz:zz 0 0A\n", AF_INET).empty());
}

TEST(ListenerTable, SeesASocketOnceItListens) {
  const auto table = ListenerTable::Open();
  ASSERT_TRUE(table);
  const auto socket = MakeIpSocket(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(Bind(socket->get(), {.address = *IpAddress::Parse("127.0.0.1"), .port = 0}));
  const SocketAddress at = *LocalAddress(socket->get());
  EXPECT_THAT(table->Read(), testing::Not(testing::Contains(at)));
  ASSERT_EQ(::listen(socket->get(), 1), 0);
  EXPECT_THAT(table->Read(), testing::Contains(at));
}

}  // namespace
}  // namespace kata::sys
