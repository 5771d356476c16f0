// SPDX-License-Identifier: Apache-2.0
//
// Needs root: real interfaces in a namespace that the test makes.
#include "host/network/name_answers.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "host/network/connection.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/netns.h"
#include "sys/testing/network_test.h"

namespace kata::network {
namespace {

constexpr uint16_t kPort = 40000;

std::string Number16(uint16_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number)};
}

// Of IPv4 from 10.0.0.1 to 127.0.0.1: no address has to be made for the test.
std::string Datagram(uint16_t from_port, const std::string& text) {
  std::string ip("\x45\0\0\0\0\0\0\0\x40\x11\0\0\x0a\0\0\1\x7f\0\0\1", 20);
  const auto size = static_cast<uint16_t>(text.size() + 8);
  ip.replace(2, 2, Number16(size + 20));
  uint32_t sum = 0;
  for (size_t i = 0; i < ip.size(); i += 2) {
    sum += static_cast<uint32_t>(static_cast<unsigned char>(ip[i]) << 8) +
           static_cast<unsigned char>(ip[i + 1]);
  }
  sum = (sum & 0xffff) + (sum >> 16);
  ip.replace(10, 2, Number16(static_cast<uint16_t>(~sum)));
  return ip + Number16(from_port) + Number16(kPort) + Number16(size) + Number16(0) + text;
}

class NameAnswers : public sys::testing::NetworkTest {
 protected:
  template <class Work>
  auto InNamespace(Work work) {
    return sys::RunInNetns(ns_.get(), std::move(work));
  }

  void SetUpNetwork() override {
    ASSERT_TRUE(sys::AddVethPair(*socket_, "eth0", "far"));
    for (const char* name : {"lo", "eth0", "far"}) {
      ASSERT_TRUE(sys::ChangeLink(*socket_, Find(name).index, {.up = true}));
    }
    ASSERT_TRUE(InNamespace([]() -> Result<void> {
      const std::string folder = "/proc/sys/net/ipv4/conf";
      // Else the kernel drops what comes to the loopback's address, and from where it has no route.
      KATA_TRY(sys::WriteFile(folder + "/all/route_localnet", "1"));
      KATA_TRY(sys::WriteFile(folder + "/all/rp_filter", "0"));
      return sys::WriteFile(folder + "/eth0/rp_filter", "0");
    }));
    host_ = *InNamespace([]() -> Result<sys::UniqueFd> {
      sys::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      sockaddr_in own{};
      own.sin_family = AF_INET;
      own.sin_port = htons(kPort);
      if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) {
        return FailErrno("bind", "udp");
      }
      return fd;
    });
    far_ = *InNamespace([]() -> Result<sys::UniqueFd> {
      return sys::UniqueFd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    });
  }

  // To eth0, from the other end of its cable.
  void Send(const std::string& packet) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_IP);
    to.sll_ifindex = Find("far").index;
    to.sll_halen = 6;
    const sys::MacAddress mac = Find("eth0").mac;
    std::copy(mac.begin(), mac.end(), to.sll_addr);
    ASSERT_EQ(::sendto(far_.get(), packet.data(), packet.size(), 0,
                       reinterpret_cast<sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(packet.size()));
  }
  // What has come to the host. A veth delivers before send returns, or a little later.
  std::string Received(int milliseconds) {
    pollfd waiting{.fd = host_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, milliseconds) != 1) return "";
    std::string data(100, '\0');
    const ssize_t size = ::recv(host_.get(), data.data(), data.size(), 0);
    data.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return data;
  }
  bool TapHas(const Tap& tap, const std::string& text, int tries) {
    for (; tries > 0; --tries) {
      pollfd waiting{.fd = tap.fds[0].get(), .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 5000) != 1) return false;
      std::string frame(4096, '\0');
      const ssize_t size = ::read(tap.fds[0].get(), frame.data(), frame.size());
      if (size > 0 && frame.find(text) != std::string::npos) return true;
    }
    return false;
  }

  sys::UniqueFd host_, far_;
};

TEST_F(NameAnswers, ReachTheHostToo) {
  const auto tap = MakeSpareTap(ns_.get(), *socket_, "tap0_kata", 1);
  ASSERT_TRUE(tap) << tap.error().message();
  const auto view = Discover(*socket_);
  ASSERT_TRUE(view);
  const auto eth0 = std::ranges::find(view->endpoints, "eth0",
                                      [](const Endpoint& each) { return each.link.name; });
  ASSERT_NE(eth0, view->endpoints.end());
  ASSERT_TRUE(Connect(Model::kTcFilter, *socket_, *eth0, *tap));
  Send(Datagram(53, "before"));
  EXPECT_TRUE(TapHas(*tap, "before", 20));

  const auto shared = ShareNameAnswers(*socket_, eth0->link.index, tap->link);
  ASSERT_TRUE(shared) << shared.error().message();
  Send(Datagram(54, "other"));
  Send(Datagram(53, "answer"));
  EXPECT_EQ(Received(5000), "answer");
  EXPECT_TRUE(TapHas(*tap, "other", 20));
  EXPECT_TRUE(TapHas(*tap, "answer", 20));
  EXPECT_EQ(Received(0), "");
}

}  // namespace
}  // namespace kata::network
