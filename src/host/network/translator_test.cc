// SPDX-License-Identifier: Apache-2.0
//
// A guest that is a network namespace, wired to the inner namespace; the outer one has services on
// addresses of its loopback device. Needs root.
#include "host/network/translator.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "host/network/two_namespaces.h"
#include "sys/files.h"
#include "sys/socket_address.h"
#include "sys/sockets.h"
#include "sys/testing/network_test.h"

namespace kata::network {
namespace {

using std::chrono::seconds;
using sys::SocketAddress;
using ::testing::HasSubstr;

constexpr auto kPatience = seconds(10);
constexpr uint32_t kMtu = 1500;
constexpr uint16_t kPort = 7000;
constexpr uint16_t kNobodysPort = 7001;

SocketAddress At(const std::string& address, uint16_t port) {
  return {.address = *sys::IpAddress::Parse(address), .port = port};
}

void Put(sys::NetlinkSocket& socket, const std::string& link, const std::string& prefix) {
  sys::LinkAddress address;
  address.link = sys::FindLink(socket, link)->index;
  address.prefix = *sys::IpPrefix::Parse(prefix);
  const auto added = sys::AddAddress(socket, address, true);
  ASSERT_TRUE(added) << added.error().message();
}

class TranslatorTest : public sys::testing::NetworkTest {
 protected:
  // ns_ is the outer one.
  void SetUpNetwork() override {
    Up(*socket_, "lo");
    for (const char* prefix : {"10.99.0.1/32", "10.99.0.2/32", "fd99::1/128", "fd99::2/128"}) {
      Put(*socket_, "lo", prefix);
    }
    inner_ = *sys::MakeNetworkNamespace();
    guest_ = *sys::MakeNetworkNamespace();
    inner_socket_.emplace(
        *sys::RunInNetns(inner_.get(), [] { return sys::NetlinkSocket::Open(); }));
    guest_socket_.emplace(
        *sys::RunInNetns(guest_.get(), [] { return sys::NetlinkSocket::Open(); }));
    ASSERT_TRUE(sys::AddVethPair(*inner_socket_, "tap0_kata", "eth0"));
    const int eth0 = sys::FindLink(*inner_socket_, "eth0")->index;
    ASSERT_TRUE(sys::ChangeLink(*inner_socket_, eth0, {.namespace_fd = guest_.get()}));
    mac_ = sys::RandomMac();
    const int there = sys::FindLink(*guest_socket_, "eth0")->index;
    ASSERT_TRUE(sys::ChangeLink(*guest_socket_, there, {.mac = mac_, .up = true, .arp = false}));
    Up(*inner_socket_, "tap0_kata");
    for (const char* prefix : {"10.77.0.2/24", "fd77::2/64"}) Put(*guest_socket_, "eth0", prefix);
    for (const int family : {AF_INET, AF_INET6}) {
      sys::Route route;
      route.destination.address.family = family;
      route.link = there;
      route.table = RT_TABLE_MAIN;
      route.type = RTN_UNICAST;
      route.protocol = RTPROT_STATIC;
      route.scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
      ASSERT_TRUE(sys::AddRoute(*guest_socket_, route));
    }
    // Until then what is sent gets lost.
    EXPECT_TRUE(Eventually([&] {
      return (sys::FindLink(*guest_socket_, "eth0")->flags & IFF_RUNNING) != 0 &&
             (sys::FindLink(*inner_socket_, "tap0_kata")->flags & IFF_RUNNING) != 0;
    }));
  }

  static void Up(sys::NetlinkSocket& socket, const std::string& link) {
    ASSERT_TRUE(sys::ChangeLink(socket, sys::FindLink(socket, link)->index, {.up = true}));
  }

  void Begin() {
    auto started = Translator::Start({.inner = *sys::Duplicate(inner_.get()),
                                      .outer = *sys::Duplicate(ns_.get()),
                                      .tap = sys::FindLink(*inner_socket_, "tap0_kata")->index,
                                      .mac = mac_,
                                      .mtu = kMtu},
                                     *inner_socket_);
    ASSERT_TRUE(started) << started.error().message();
    translator_ = *std::move(started);
  }

  // A socket that waits, in the namespace.
  static sys::UniqueFd Socket(int ns, int family, int type) {
    return *sys::RunInNetns(ns, [&]() -> Result<sys::UniqueFd> {
      sys::UniqueFd fd(::socket(family, type | SOCK_CLOEXEC, 0));
      if (!fd) return FailErrno("socket");
      const timeval patience{.tv_sec = seconds(kPatience).count(), .tv_usec = 0};
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
      return fd;
    });
  }
  sys::UniqueFd Serve(int type, const SocketAddress& at) {
    sys::UniqueFd socket = Socket(ns_.get(), at.address.family, type);
    EXPECT_TRUE(sys::Bind(socket.get(), at));
    if (type == SOCK_STREAM) {
      EXPECT_EQ(::listen(socket.get(), 8), 0);
    }
    return socket;
  }
  sys::UniqueFd Client(int type, const SocketAddress& to) {
    return Socket(guest_.get(), to.address.family, type);
  }

  template <class Condition>
  static bool Eventually(Condition condition) {
    const auto begun = std::chrono::steady_clock::now();
    while (!condition() && std::chrono::steady_clock::now() - begun < kPatience) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return condition();
  }
  // Once there are so many.
  std::vector<sys::ReachedListener> FollowServices(size_t count) {
    const auto all = std::make_shared<std::promise<std::vector<sys::ReachedListener>>>();
    translator_->FollowServices(
        [all, count, told = false](const std::vector<sys::ReachedListener>& services) mutable {
          if (services.size() == count && !std::exchange(told, true)) all->set_value(services);
        });
    auto future = all->get_future();
    return future.wait_for(kPatience) == std::future_status::ready
               ? future.get()
               : std::vector<sys::ReachedListener>{};
  }
  void ShowAndWait(const sys::Listener& listener) {
    translator_->ShowListeners({{.listener = listener}});
    auto table = *sys::RunInNetns(ns_.get(), &sys::ListenerTable::Open);
    EXPECT_TRUE(Eventually([&] {
      const auto there = table.Read();
      return std::ranges::find(there, listener) != there.end();
    }));
  }

  static std::string Receive(int socket) {
    std::string text(1 << 16, '\0');
    const ssize_t size = ::recv(socket, text.data(), text.size(), 0);
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return size < 0 ? "error" : text;
  }
  static void Say(int socket, const std::string& text) {
    EXPECT_EQ(::send(socket, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // Datagrams may get lost: the kernel makes routes to new addresses of IPv6 a moment later.
  static std::string Tell(int from, const std::string& text, int to,
                          sockaddr_storage* sender = nullptr, socklen_t* size = nullptr) {
    constexpr int kTries = 20;
    pollfd ready{.fd = to, .events = POLLIN, .revents = 0};
    for (int tries = 0; tries < kTries && ready.revents == 0; ++tries) {
      Say(from, text);
      ::poll(&ready, 1, static_cast<int>(1000 * kPatience.count() / kTries));
    }
    if (sender != nullptr) {
      ::recvfrom(to, nullptr, 0, MSG_PEEK, reinterpret_cast<sockaddr*>(sender), size);
    }
    return Receive(to);
  }

  sys::UniqueFd inner_;
  sys::UniqueFd guest_;
  std::optional<sys::NetlinkSocket> inner_socket_;
  std::optional<sys::NetlinkSocket> guest_socket_;
  sys::MacAddress mac_{};
  std::unique_ptr<Translator> translator_;
};

TEST_F(TranslatorTest, ConnectionsOfAGuestAreConnectionsOfTheOtherNamespace) {
  Begin();
  for (const char* address : {"10.99.0.1", "fd99::1"}) {
    SCOPED_TRACE(address);
    const SocketAddress at = At(address, kPort);
    const sys::UniqueFd server = Serve(SOCK_STREAM, at);
    const sys::UniqueFd client = Client(SOCK_STREAM, at);
    const auto connected = sys::Connect(client.get(), at);
    ASSERT_TRUE(connected) << connected.error().message();
    const auto accepted = sys::Accept(server.get());
    ASSERT_TRUE(accepted);
    EXPECT_EQ(sys::PeerAddress(accepted->get())->address, at.address);
    Say(client.get(), "question");
    EXPECT_EQ(Receive(accepted->get()), "question");
    // What is closed for writing can still be answered.
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(Receive(accepted->get()), "");
    Say(accepted->get(), "answer");
    EXPECT_EQ(Receive(client.get()), "answer");
    ::shutdown(accepted->get(), SHUT_WR);
    EXPECT_EQ(Receive(client.get()), "");
  }
}

TEST_F(TranslatorTest, AConnectionThatIsRefusedOutsideIsRefusedToTheGuest) {
  Begin();
  for (const char* address : {"10.99.0.1", "fd99::1"}) {
    const SocketAddress at = At(address, kNobodysPort);
    const sys::UniqueFd client = Client(SOCK_STREAM, at);
    const auto connected = sys::Connect(client.get(), at);
    ASSERT_FALSE(connected);
    EXPECT_EQ(connected.error().error_number(), ECONNREFUSED) << connected.error().message();
  }
}

TEST_F(TranslatorTest, DatagramsAreAnsweredFromWhereTheyWereSent) {
  Begin();
  for (const char* address : {"10.99.0.1", "fd99::1"}) {
    SCOPED_TRACE(address);
    const SocketAddress at = At(address, kPort);
    const sys::UniqueFd server = Serve(SOCK_DGRAM, at);
    const sys::UniqueFd client = Client(SOCK_DGRAM, at);
    ASSERT_TRUE(sys::Connect(client.get(), at));
    for (const std::string word : {"one", "two"}) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      // One that was told twice may still be there.
      std::string heard;
      do {
        heard = Tell(client.get(), word, server.get(), &from, &size);
      } while (word == "two" && heard == "one");
      ASSERT_EQ(heard, word);
      ::sendto(server.get(), "back", 4, 0, reinterpret_cast<const sockaddr*>(&from), size);
      EXPECT_EQ(Receive(client.get()), "back");
    }
  }
}

TEST_F(TranslatorTest, AnEchoComesFromWhoWasAskedOnly) {
  Begin();
  const struct {
    int family;
    int protocol;
    char request;
    char answer;
    const char* there;
    const char* nobody;
  } cases[] = {{AF_INET, IPPROTO_ICMP, 8, 0, "10.99.0.1", "10.99.0.9"},
               {AF_INET6, IPPROTO_ICMPV6, -128, -127, "fd99::1", "fd99::9"}};
  for (const auto& each : cases) {
    const sys::UniqueFd socket = *sys::RunInNetns(guest_.get(), [&]() -> Result<sys::UniqueFd> {
      sys::UniqueFd fd(::socket(each.family, SOCK_RAW | SOCK_CLOEXEC, each.protocol));
      if (!fd) return FailErrno("socket");
      return fd;
    });
    // Id 7, and for IPv4 a right sum.
    std::string echo("\0\0\0\0\0\7\0\1", 8);
    echo[0] = each.request;
    if (each.family == AF_INET) echo.replace(2, 2, std::string("\xf7\xf7", 2));
    ASSERT_TRUE(sys::Connect(socket.get(), At(each.nobody, 0)));
    Say(socket.get(), echo);
    pollfd ready{.fd = socket.get(), .events = POLLIN, .revents = 0};
    ASSERT_TRUE(sys::Connect(socket.get(), At(each.there, 0)));
    Say(socket.get(), echo);
    ASSERT_EQ(::poll(&ready, 1, static_cast<int>(1000 * kPatience.count())), 1) << each.there;
    const std::string answer = Receive(socket.get());
    const std::string message = each.family == AF_INET ? answer.substr(20) : answer;
    ASSERT_EQ(message.size(), echo.size());
    EXPECT_EQ(message[0], each.answer);
    EXPECT_EQ(message.substr(4), echo.substr(4));
  }
}

TEST_F(TranslatorTest, OfTheLoopbackOnlyServicesAreReached) {
  Begin();
  const sys::UniqueFd tcp = Serve(SOCK_STREAM, At("127.0.0.1", kPort));
  const sys::UniqueFd tcp6 = Serve(SOCK_STREAM, At("::1", kNobodysPort));
  const sys::UniqueFd udp = Serve(SOCK_DGRAM, At("127.0.0.53", kPort));
  const auto services = FollowServices(3);
  ASSERT_EQ(services.size(), 3U);
  for (const sys::ReachedListener& each : services) {
    SCOPED_TRACE(each.listener.Text());
    const bool stream = each.listener.protocol == sys::Protocol::kTcp;
    const SocketAddress at = At(kLoopback4, each.through);
    const sys::UniqueFd client = Client(stream ? SOCK_STREAM : SOCK_DGRAM, at);
    EXPECT_TRUE(sys::Connect(client.get(), at));
    if (stream) continue;
    Say(client.get(), "question");
    EXPECT_EQ(Receive(udp.get()), "question");
  }
  const SocketAddress nobodys = At(kLoopback4, 1);
  const sys::UniqueFd client = Client(SOCK_STREAM, nobodys);
  EXPECT_FALSE(sys::Connect(client.get(), nobodys));
}

TEST_F(TranslatorTest, DatagramsForTheGuestAreAnsweredFromItsPort) {
  Begin();
  // Addresses of both, as a guest has them.
  for (const char* prefix : {"10.99.0.1/32", "fd99::1/128"}) Put(*guest_socket_, "eth0", prefix);
  for (const char* address : {"10.99.0.1", "fd99::1"}) {
    SCOPED_TRACE(address);
    const SocketAddress at = At(address, kPort);
    const bool v4 = at.address.family == AF_INET;
    const SocketAddress from = At(v4 ? "10.99.0.2" : "fd99::2", kNobodysPort);
    const sys::UniqueFd server = Socket(guest_.get(), at.address.family, SOCK_DGRAM);
    ASSERT_TRUE(sys::Bind(server.get(), at));
    sys::SocketAddress everywhere = at;
    everywhere.address.bytes = {};
    ShowAndWait({.protocol = sys::Protocol::kUdp, .at = everywhere});
    const sys::UniqueFd client = Socket(ns_.get(), at.address.family, SOCK_DGRAM);
    ASSERT_TRUE(sys::Bind(client.get(), from));
    ASSERT_TRUE(sys::Connect(client.get(), at));
    EXPECT_EQ(Tell(client.get(), "question", server.get()), "question");
    // The guest sees who asks, and who asks gets the answer from where he has asked. The guest's
    // server may speak first as well.
    ASSERT_TRUE(sys::Connect(server.get(), from));
    EXPECT_EQ(Tell(server.get(), "answer", client.get()), "answer");
    const sys::UniqueFd third = Socket(ns_.get(), at.address.family, SOCK_DGRAM);
    ASSERT_TRUE(sys::Bind(third.get(), At(from.address.Text(), kPort + 5)));
    ASSERT_TRUE(sys::Connect(third.get(), at));
    ASSERT_TRUE(sys::Connect(server.get(), *sys::LocalAddress(third.get())));
    EXPECT_EQ(Tell(server.get(), "of itself", third.get()), "of itself");
  }
}

TEST_F(TranslatorTest, APortOfTheGuestIsTakenOnceItIsFree) {
  Begin();
  const SocketAddress at = At("10.99.0.1", kPort);
  auto others = Serve(SOCK_STREAM, at);
  translator_->FollowServices([](const std::vector<sys::ReachedListener>&) {});
  translator_->ShowListeners({{.listener = {.at = at}}});
  const auto listens = [&] {
    const auto probe = Socket(ns_.get(), AF_INET, SOCK_STREAM);
    return sys::Connect(probe.get(), at).has_value();
  };
  EXPECT_TRUE(listens());  // the other one
  others.Reset();
  EXPECT_TRUE(Eventually(listens));
}

TEST_F(TranslatorTest, OneThatCannotEnterTheOtherNamespaceDoesNotBegin) {
  const auto started = Translator::Start({.inner = *sys::Duplicate(inner_.get()),
                                          .outer = *sys::Open("/dev/null", O_RDONLY),
                                          .tap = sys::FindLink(*inner_socket_, "tap0_kata")->index,
                                          .mac = mac_,
                                          .mtu = kMtu},
                                         *inner_socket_);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message(), HasSubstr("enter the network namespace"));
}

TEST_F(TranslatorTest, MuchGoesThroughWhole) {
  constexpr size_t kMuch = 64 << 20;
  Begin();
  const SocketAddress at = At("10.99.0.1", kPort);
  const sys::UniqueFd server = Serve(SOCK_STREAM, at);
  const sys::UniqueFd client = Client(SOCK_STREAM, at);
  ASSERT_TRUE(sys::Connect(client.get(), at));
  const auto accepted = sys::Accept(server.get());
  ASSERT_TRUE(accepted);
  std::thread sender([&] {
    std::string chunk(1 << 20, '\0');
    for (size_t sent = 0; sent < kMuch;) {
      for (char& byte : chunk) byte = static_cast<char>(sent++ * 2654435761U >> 24);
      Say(client.get(), chunk);
    }
    ::shutdown(client.get(), SHUT_WR);
  });
  size_t got = 0;
  bool right = true;
  for (std::string text = Receive(accepted->get()); !text.empty() && text != "error";
       text = Receive(accepted->get())) {
    for (const char byte : text) right &= byte == static_cast<char>(got++ * 2654435761U >> 24);
  }
  sender.join();
  EXPECT_EQ(got, kMuch);
  EXPECT_TRUE(right);
}

TEST_F(TranslatorTest, AConnectionThatBreaksOffOutsideBreaksOffInTheGuest) {
  Begin();
  const SocketAddress at = At("10.99.0.1", kPort);
  const sys::UniqueFd server = Serve(SOCK_STREAM, at);
  const sys::UniqueFd client = Client(SOCK_STREAM, at);
  ASSERT_TRUE(sys::Connect(client.get(), at));
  {
    const auto accepted = sys::Accept(server.get());
    ASSERT_TRUE(accepted);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ASSERT_EQ(::setsockopt(accepted->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  }
  char byte = 0;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST(Reachability, EndsWhereAHostsOwnPlacesBegin) {
  for (const char* good : {"10.0.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"}) {
    EXPECT_TRUE(IsReachable(*sys::IpAddress::Parse(good))) << good;
  }
  for (const char* bad : {"127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1", "255.255.255.255",
                          "::", "::1", "::ffff:127.0.0.1", "fe80::1", "ff02::1"}) {
    EXPECT_FALSE(IsReachable(*sys::IpAddress::Parse(bad))) << bad;
  }
}

}  // namespace
}  // namespace kata::network
