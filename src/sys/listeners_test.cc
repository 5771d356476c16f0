// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr char kTable[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
    "   2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0\n"
    "   3: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n";

std::vector<std::string> Texts(std::string_view table, Protocol protocol, int family) {
  std::vector<std::string> texts;
  for (const Listener& each : ParseListeners(table, protocol, family)) {
    texts.push_back(each.Text());
  }
  return texts;
}

TEST(Listeners, OfTcpComeBeforeAllOthers) {
  EXPECT_THAT(Texts(kTable, Protocol::kTcp, AF_INET),
              ElementsAre("tcp 127.0.0.1:8080", "tcp 0.0.0.0:22"));
}

TEST(Listeners, OfUdpAreThoseThatAreNotConnected) {
  EXPECT_THAT(Texts("head\n"
                    "  9: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 0 101\n"
                    " 10: 0100007F:9C40 0100007F:0035 01 00000000:00000000 00:00000000 0 101\n"
                    " 11: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 0 101\n",
                    Protocol::kUdp, AF_INET),
              ElementsAre("udp 127.0.0.53:53", "udp 0.0.0.0:68"));
}

TEST(Listeners, OfIpv6AreWordsOfTheMachine) {
  EXPECT_THAT(Texts("head\n   0: 00000000000000000000000001000000:0277 "
                    "00000000000000000000000000000000:0000 0A 0\n",
                    Protocol::kTcp, AF_INET6),
              ElementsAre("tcp [::1]:631"));
}

TEST(Listeners, OfABrokenTableAreThoseThatCanBeRead) {
  const std::string table = kTable;
  for (size_t size = 0; size < table.size(); ++size) {
    EXPECT_LE(ParseListeners(table.substr(0, size), Protocol::kTcp, AF_INET).size(), 2U);
  }
  EXPECT_TRUE(
      ParseListeners("head\n 0: 0100007F 0 0A\n 1: zz:zz 0 0A\n", Protocol::kTcp, AF_INET).empty());
}

TEST(ListenerTable, SeesASocketOnceItListens) {
  auto table = ListenerTable::Open();
  ASSERT_TRUE(table);
  const auto socket = MakeIpSocket(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(Bind(socket->get(), {.address = *IpAddress::Parse("127.0.0.1"), .port = 0}));
  const Listener listener{.protocol = Protocol::kTcp, .at = *LocalAddress(socket->get())};
  EXPECT_THAT(table->Read(), Not(Contains(listener)));
  ASSERT_EQ(::listen(socket->get(), 1), 0);
  EXPECT_THAT(table->Read(), Contains(listener));
}

TEST(ListenerTable, TakesOneThatAsksForNoServer) {
  auto table = ListenerTable::Open();
  ASSERT_TRUE(table);
  const auto asking = MakeIpSocket(AF_INET, SOCK_DGRAM);
  ASSERT_TRUE(Bind(asking->get(), {.address = *IpAddress::Parse("127.0.0.1"), .port = 0}));
  const Listener listener{.protocol = Protocol::kUdp, .at = *LocalAddress(asking->get())};
  const auto now = ListenerTable::Clock::now();
  EXPECT_THAT(table->Read(now), Not(Contains(listener)));
  EXPECT_THAT(table->Read(now + ListenerTable::kLasting), Contains(listener)) << "it stays";
  ASSERT_TRUE(Connect(asking->get(), {.address = *IpAddress::Parse("127.0.0.1"), .port = 9}));
  EXPECT_THAT(table->Read(now + ListenerTable::kLasting), Not(Contains(listener)));
}

}  // namespace
}  // namespace kata::sys
