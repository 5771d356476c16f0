// SPDX-License-Identifier: Apache-2.0
//
// Needs root: connections over addresses of a network namespace of the test's own.
#include "guest/agent/network/connections.h"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "sys/fd.h"
#include "sys/netlink_socket.h"
#include "sys/rtnetlink.h"

namespace kata::guest {
namespace {

sockaddr_in Name(const std::string& address, in_port_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &name.sin_addr);
  return name;
}

sys::UniqueFd Listen(const std::string& address, in_port_t port) {
  sys::UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in name = Name(address, port);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  EXPECT_EQ(::listen(fd.get(), 5), 0);
  return fd;
}

sys::UniqueFd Connect(const std::string& address, in_port_t port) {
  sys::UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in name = Name(address, port);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  return fd;
}

// The error of a read that does not wait.
int ErrorOfRead(const sys::UniqueFd& fd) {
  char byte = 0;
  return ::recv(fd.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

class ConnectionsTest : public testing::Test {
 protected:
  static constexpr in_port_t kPort = 7000;
  static constexpr char kOwn[] = "192.0.2.1";
  static constexpr char kOther[] = "192.0.2.2";

  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "needs root";
    netlink_.emplace(*sys::NetlinkSocket::Open());
    const int loopback = sys::FindLink(*netlink_, "lo")->index;
    ASSERT_TRUE(sys::ChangeLink(*netlink_, loopback, {.up = true}));
    for (const char* address : {kOwn, kOther}) {
      ASSERT_EQ(::system((std::string("ip address add ") + address + "/32 dev lo").c_str()), 0);
    }
  }

  std::optional<sys::NetlinkSocket> netlink_;
};

TEST_F(ConnectionsTest, AllEndButThoseOfTheLoopback) {
  const auto listener = Listen("0.0.0.0", kPort);
  const auto inner = Connect("127.0.0.1", kPort);
  const auto accepted = sys::UniqueFd(::accept(listener.get(), nullptr, nullptr));
  const auto outer = Connect(kOwn, kPort);
  const auto waits = sys::UniqueFd(::accept(listener.get(), nullptr, nullptr));
  const auto count = AbortConnections({::getpid()}, Abort::kAll);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(*count, 2u);
  EXPECT_EQ(ErrorOfRead(outer), ECONNABORTED);
  EXPECT_EQ(ErrorOfRead(waits), ECONNABORTED);
  EXPECT_EQ(ErrorOfRead(inner), EAGAIN);
  ASSERT_EQ(::send(accepted.get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(::recv(inner.get(), &byte, 1, 0), 1);
  // Who listens does so for others, too.
  (void)Connect(kOwn, kPort);
}

TEST_F(ConnectionsTest, TheOtherSideHearsNothing) {
  const auto listener = Listen(kOther, kPort);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto fd = Connect(kOther, kPort);
    ::pause();
    ::_exit(0);
  }
  const auto accepted = sys::UniqueFd(::accept(listener.get(), nullptr, nullptr));
  const auto count = AbortConnections({child}, Abort::kAll);
  EXPECT_TRUE(count && *count == 1);
  EXPECT_EQ(ErrorOfRead(accepted), EAGAIN) << "no reset, no end";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(ErrorOfRead(accepted), EAGAIN);
}

TEST_F(ConnectionsTest, ThoseThatNobodyHasAcceptedEndAsWell) {
  const auto listener = Listen("0.0.0.0", kPort);
  const auto waits = Connect(kOwn, kPort);
  const auto count = AbortConnections({::getpid()}, Abort::kAll);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(*count, 2u);
  pollfd ready{.fd = listener.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 0);
  EXPECT_EQ(ErrorOfRead(waits), ECONNABORTED);
}

TEST_F(ConnectionsTest, StaleAreThoseWhoseAddressHasGone) {
  const auto listener = Listen("0.0.0.0", kPort);
  const auto stays = Connect(kOther, kPort);
  const auto accepted = sys::UniqueFd(::accept(listener.get(), nullptr, nullptr));
  const auto goes = Connect(kOwn, kPort);
  ASSERT_EQ(*AbortConnections({::getpid()}, Abort::kStale), 0u);
  ASSERT_EQ(::system((std::string("ip address del ") + kOwn + "/32 dev lo").c_str()), 0);
  const auto count = AbortConnections({::getpid()}, Abort::kStale);
  ASSERT_TRUE(count) << count.error().message();
  EXPECT_EQ(ErrorOfRead(goes), ECONNABORTED);
  EXPECT_EQ(ErrorOfRead(stays), EAGAIN);
}

}  // namespace
}  // namespace kata::guest
