// SPDX-License-Identifier: Apache-2.0
#include "host/network/service_view.h"

#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/network/two_namespaces.h"

namespace kata::network {
namespace {

using sys::Protocol;
using testing::ElementsAre;
using testing::HasSubstr;

sys::SocketAddress Socket(const std::string& address, uint16_t port) {
  return {.address = *sys::IpAddress::Parse(address), .port = port};
}

sys::Listener Tcp(const std::string& address, uint16_t port) {
  return {.protocol = Protocol::kTcp, .at = Socket(address, port)};
}
sys::Listener Udp(const std::string& address, uint16_t port) {
  return {.protocol = Protocol::kUdp, .at = Socket(address, port)};
}

TEST(ServiceView, ASocketForAllOfIpv6IsForIpv4Too) {
  EXPECT_THAT(DoorsFor({Tcp("::", 80), Tcp("::1", 81), Udp("::", 80)}),
              ElementsAre(Tcp("0.0.0.0", 80), Tcp("::", 80), Tcp("::1", 81), Udp("0.0.0.0", 80),
                          Udp("::", 80)));
}

TEST(ServiceView, AGuestIsShownAllButGroupsAndWhatIsOfOneLink) {
  EXPECT_THAT(ServicesOf({Tcp("0.0.0.0", 22), Tcp("10.0.0.1", 80), Udp("127.0.0.53", 53),
                          Udp("224.0.0.251", 5353), Udp("fe80::1", 546), Udp("ff02::fb", 5353)}),
              ElementsAre(Tcp("0.0.0.0", 22), Tcp("10.0.0.1", 80), Udp("127.0.0.53", 53)));
}

TEST(ServiceView, AServiceIsReachedWhereItListens) {
  Services services;
  services.ports.Assign(
      {Tcp("0.0.0.0", 22), Udp("127.0.0.53", 53), Tcp("::", 80), Tcp("10.0.0.1", 8080)});
  const auto outer = [&](Protocol protocol, const sys::SocketAddress& wanted) {
    const auto found = OuterAddress(protocol, wanted, services);
    return found ? found->Text() : found.error().message();
  };
  EXPECT_EQ(outer(Protocol::kTcp, Socket(kLoopback4, 22)), "127.0.0.1:22");
  EXPECT_EQ(outer(Protocol::kUdp, Socket(kLoopback4, 53)), "127.0.0.53:53");
  EXPECT_EQ(outer(Protocol::kTcp, Socket(kLoopback4, 80)), "[::1]:80");
  EXPECT_EQ(outer(Protocol::kTcp, Socket(kLoopback4, 8080)), "10.0.0.1:8080");
  EXPECT_EQ(outer(Protocol::kTcp, Socket("192.0.2.1", 9)), "192.0.2.1:9");
  // What does not listen is not there.
  for (const auto& [address, port] :
       {std::pair(kLoopback4, 53), {kLoopback4, 9}, {kLoopback6, 22}, {"127.0.0.1", 22}}) {
    EXPECT_THAT(outer(Protocol::kTcp, Socket(address, static_cast<uint16_t>(port))),
                HasSubstr("nothing that a guest reaches"));
  }
}

TEST(ServiceView, AServiceIsJudgedByItsOwnAddressAndPort) {
  Services services;
  const auto reached =
      services.ports.Assign({Tcp("10.0.0.1", 8080), Tcp("127.0.0.1", 8080), Tcp("127.0.0.2", 22)});
  const std::vector<std::string> deny = {"10.0.0.0/8", "22/tcp"};
  services.egress = {*egress::ParseRules({}, deny)};
  std::vector<std::string> allowed;
  for (const sys::ReachedListener& each : reached) {
    const auto to = OuterAddress(Protocol::kTcp, Socket(kLoopback4, each.through), services);
    if (to) allowed.push_back(to->Text());
  }
  EXPECT_THAT(allowed, ElementsAre("127.0.0.1:8080"));
}

TEST(ServiceView, AGuestSeesWhoConnectsUnlessThatIsItself) {
  const auto other = EndsInGuest(Socket("10.0.0.9", 5000), Socket("10.0.0.1", 80), 0);
  EXPECT_EQ(other.from.Text(), "10.0.0.9:5000");
  EXPECT_EQ(other.to.Text(), "10.0.0.1:80");
  const auto own = EndsInGuest(Socket("10.0.0.1", 5000), Socket("10.0.0.1", 80), 0);
  EXPECT_EQ(own.from.address.Text(), "192.0.0.7");
  EXPECT_EQ(own.to.Text(), "10.0.0.1:80");
  for (const char* loopback : {"127.0.0.1", "::1"}) {
    const auto everywhere = EndsInGuest(Socket(loopback, 5000), Socket(loopback, 80), 0);
    EXPECT_EQ(everywhere.from.address.Text(), "192.0.0.7");
    EXPECT_EQ(everywhere.to.Text(), "192.0.0.6:80");
    const auto by_gate = EndsInGuest(Socket(loopback, 5000), Socket(loopback, 80), 81);
    EXPECT_EQ(by_gate.to.Text(), "192.0.0.6:81");
  }
  // One with a gate that listens everywhere: only its own host needs that.
  EXPECT_EQ(EndsInGuest(Socket("10.0.0.9", 5000), Socket("10.0.0.1", 80), 81).to.Text(),
            "10.0.0.1:80");
  EXPECT_EQ(EndsInGuest(Socket("10.0.0.1", 5000), Socket("10.0.0.1", 80), 81).to.Text(),
            "192.0.0.6:81");
}

}  // namespace
}  // namespace kata::network
