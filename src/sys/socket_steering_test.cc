// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_steering.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sys/netns.h"
#include "sys/socket_address.h"
#include "sys/sockets.h"
#include "sys/testing/network_test.h"

namespace kata::sys {
namespace {

class SteeringTest : public testing::NetworkTest {
 protected:
  void SetUpNetwork() override {
    const int loopback = Find("lo").index;
    ASSERT_TRUE(ChangeLink(*socket_, loopback, {.up = true}));
    ASSERT_TRUE(AddAddress(
        *socket_,
        {.link = loopback, .prefix = *IpPrefix::Parse("10.9.9.9/32"), .peer = {}, .broadcast = {}},
        true));
    listener4_ = Listen("127.0.0.1");
    listener6_ = Listen("::1");
  }
  UniqueFd Listen(const char* address, uint16_t port = 0) {
    auto made = RunInNetns(ns_.get(), [&]() -> Result<UniqueFd> {
      const IpAddress at = *IpAddress::Parse(address);
      UniqueFd socket = KATA_TRY(MakeIpSocket(at.family, SOCK_STREAM));
      KATA_TRY(Bind(socket.get(), {.address = at, .port = port}));
      if (::listen(socket.get(), 8) != 0) return FailErrno("listen");
      return socket;
    });
    EXPECT_TRUE(made) << made.error().message();
    return *std::move(made);
  }
  // The error's number; 0: it is there, which it is at once in a loopback.
  int ErrorOfConnecting(const char* address, uint16_t port) {
    auto connected = RunInNetns(ns_.get(), [&]() -> Result<UniqueFd> {
      const IpAddress to = *IpAddress::Parse(address);
      UniqueFd socket(::socket(to.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      KATA_TRY(Connect(socket.get(), {.address = to, .port = port}));
      return socket;
    });
    if (!connected) return connected.error().error_number();
    callers_.push_back(*std::move(connected));
    return 0;
  }
  static std::string Reached(const UniqueFd& listener) {
    const auto accepted = Accept(listener.get());
    return accepted ? LocalAddress(accepted->get())->Text() : "nobody";
  }

  UniqueFd listener4_;
  UniqueFd listener6_;
  std::vector<UniqueFd> callers_;
};

TEST_F(SteeringTest, LoopbackConnectionsGoToOneSocketWhateverTheirPort) {
  auto steering = SteerLoopback(ns_.get(), listener4_.get(), listener6_.get());
  ASSERT_TRUE(steering) << steering.error().message();
  EXPECT_EQ(ErrorOfConnecting("127.0.0.1", 80), 0);
  EXPECT_EQ(Reached(listener4_), "127.0.0.1:80");
  EXPECT_EQ(ErrorOfConnecting("::1", 65535), 0);
  EXPECT_EQ(Reached(listener6_), "[::1]:65535");
  steering->Reset();
  EXPECT_EQ(ErrorOfConnecting("127.0.0.1", 80), ECONNREFUSED);
}

TEST_F(SteeringTest, OtherAddressesGoWhereTheyWould) {
  const auto steering = SteerLoopback(ns_.get(), listener4_.get(), -1);
  ASSERT_TRUE(steering) << steering.error().message();
  EXPECT_EQ(ErrorOfConnecting("127.0.0.2", 80), ECONNREFUSED);
  EXPECT_EQ(ErrorOfConnecting("10.9.9.9", 80), ECONNREFUSED);
  EXPECT_EQ(ErrorOfConnecting("::1", 80), ECONNREFUSED);
  const UniqueFd other = Listen("10.9.9.9", 80);
  EXPECT_EQ(ErrorOfConnecting("10.9.9.9", 80), 0);
  EXPECT_EQ(Reached(other), "10.9.9.9:80");
  EXPECT_EQ(Reached(listener4_), "nobody");
}

}  // namespace
}  // namespace kata::sys
