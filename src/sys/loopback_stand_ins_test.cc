// SPDX-License-Identifier: Apache-2.0
#include "sys/loopback_stand_ins.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

Listener At(const std::string& address, uint16_t port, Protocol protocol = Protocol::kTcp) {
  return {.protocol = protocol, .at = {.address = *IpAddress::Parse(address), .port = port}};
}

uint16_t PortOf(const std::vector<ReachedListener>& reached, const Listener& listener) {
  for (const ReachedListener& each : reached) {
    if (each.listener == listener) return each.through;
  }
  return 0;
}

TEST(StandInPorts, AreTheListenersOwnWhereTheyAreFree) {
  StandInPorts ports;
  const auto reached = ports.Assign({At("127.0.0.1", 80), At("127.0.0.1", 80, Protocol::kUdp)});
  EXPECT_EQ(PortOf(reached, At("127.0.0.1", 80)), 80);
  EXPECT_EQ(PortOf(reached, At("127.0.0.1", 80, Protocol::kUdp)), 80);
}

TEST(StandInPorts, TellTwoAddressesApart) {
  StandInPorts ports;
  const auto one = At("127.0.0.53", 53);
  const auto other = At("127.0.0.54", 53);
  const auto reached = ports.Assign({one, other});
  EXPECT_NE(PortOf(reached, one), PortOf(reached, other));
  EXPECT_EQ(ports.Behind(Protocol::kTcp, PortOf(reached, one)), one);
  EXPECT_EQ(ports.Behind(Protocol::kTcp, PortOf(reached, other)), other);
  EXPECT_FALSE(ports.Behind(Protocol::kUdp, 53));
}

TEST(StandInPorts, StayWhenOthersComeAndGo) {
  StandInPorts ports;
  const auto last = At("127.0.0.54", 53);
  const uint16_t port = PortOf(ports.Assign({At("127.0.0.53", 53), last}), last);
  EXPECT_EQ(PortOf(ports.Assign({At("127.0.0.1", 53), last}), last), port);
  EXPECT_EQ(PortOf(ports.Assign({last}), last), port);
  ports.Assign({});
  EXPECT_FALSE(ports.Behind(Protocol::kTcp, port));
}

TEST(StandInPorts, AreNotTaken) {
  StandInPorts ports;
  const auto listener = At("0.0.0.0", 53, Protocol::kUdp);
  EXPECT_EQ(PortOf(ports.Assign({listener}), listener), 53);
  const uint16_t other = PortOf(ports.Assign({listener}, {{Protocol::kUdp, 53}}), listener);
  EXPECT_NE(other, 53);
  EXPECT_NE(other, 0);
  EXPECT_EQ(PortOf(ports.Assign({listener}), listener), other) << "it stays";
}

TEST(StandInPorts, AreNoneTwiceAtTheEndOfTheRange) {
  StandInPorts ports;
  std::set<uint16_t> all;
  std::vector<Listener> listeners;
  for (int last = 1; last <= 4; ++last) {
    listeners.push_back(At("127.0.0." + std::to_string(last), UINT16_MAX));
  }
  for (const ReachedListener& each : ports.Assign(listeners)) all.insert(each.through);
  EXPECT_EQ(all.size(), listeners.size());
  EXPECT_FALSE(all.contains(0));
}

}  // namespace
}  // namespace kata::sys
