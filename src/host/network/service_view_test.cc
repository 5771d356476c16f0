// SPDX-License-Identifier: Apache-2.0
#include "host/network/service_view.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::network {
namespace {

using testing::ElementsAre;

sys::SocketAddress Socket(const std::string& address, uint16_t port) {
  return {.address = *sys::IpAddress::Parse(address), .port = port};
}

TEST(ServiceView, ASocketForAllOfIpv6IsForIpv4Too) {
  EXPECT_THAT(DoorsFor({Socket("::", 80), Socket("::1", 81), Socket("127.0.0.1", 82)}),
              ElementsAre(Socket("0.0.0.0", 80), Socket("127.0.0.1", 82), Socket("::", 80),
                          Socket("::1", 81)));
}

TEST(ServiceView, AGuestIsShownWhatTheLoopbackReaches) {
  EXPECT_THAT(ServicesOf({Socket("0.0.0.0", 22), Socket("10.0.0.1", 80), Socket("127.0.0.53", 53)}),
              ElementsAre(Socket("0.0.0.0", 22), Socket("127.0.0.53", 53)));
}

TEST(ServiceView, AServiceIsReachedWhereItListens) {
  const std::vector<sys::SocketAddress> services = {Socket("0.0.0.0", 22), Socket("127.0.0.53", 53),
                                                    Socket("::", 80), Socket("::1", 631)};
  EXPECT_EQ(LoopbackOf(services, 22).Text(), "127.0.0.1:22");
  EXPECT_EQ(LoopbackOf(services, 53).Text(), "127.0.0.53:53");
  EXPECT_EQ(LoopbackOf(services, 80).Text(), "127.0.0.1:80");
  EXPECT_EQ(LoopbackOf(services, 631).Text(), "[::1]:631");
  EXPECT_EQ(LoopbackOf(services, 9).Text(), "127.0.0.1:9");
}

TEST(ServiceView, AGuestSeesWhoConnectsUnlessThatIsItself) {
  const auto other = EndsInGuest(Socket("10.0.0.9", 5000), Socket("10.0.0.1", 80));
  EXPECT_EQ(other.from.Text(), "10.0.0.9:5000");
  EXPECT_EQ(other.to.Text(), "10.0.0.1:80");
  const auto own = EndsInGuest(Socket("10.0.0.1", 5000), Socket("10.0.0.1", 80));
  EXPECT_EQ(own.from.address.Text(), "192.0.0.7");
  EXPECT_EQ(own.to.Text(), "10.0.0.1:80");
  for (const char* loopback : {"127.0.0.1", "::1"}) {
    const auto ends = EndsInGuest(Socket(loopback, 5000), Socket(loopback, 80));
    EXPECT_EQ(ends.from.address.Text(), "192.0.0.7");
    EXPECT_EQ(ends.to.Text(), "192.0.0.6:80");
  }
}

}  // namespace
}  // namespace kata::network
