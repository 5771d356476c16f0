// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/dns_relay.h"

#include <sys/socket.h>

#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"

namespace kata::guest {
namespace {

class DnsRelayTest : public testing::Test {
 protected:
  void SetUp() override {
    sys::UniqueFd server(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    socklen_t size = sizeof address_;
    ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
    ASSERT_TRUE(relay_.Serve(std::move(server)));
  }

  // A program of a container.
  sys::UniqueFd Asker() {
    sys::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    return fd;
  }
  static void Ask(const sys::UniqueFd& fd, const std::string& text) {
    EXPECT_EQ(::send(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  static std::string Heard(const sys::UniqueFd& fd) {
    char buffer[64];
    const ssize_t size = ::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return size < 0 ? "" : std::string(buffer, static_cast<size_t>(size));
  }
  void Fetch(bool wanted = true) {
    relay_.Next([wanted] { return wanted; },
                [this](const DnsMessage& question) { fetched_.push_back(question); });
  }

  TestLoop loop_;
  DnsRelay relay_{loop_.loop()};
  sockaddr_in address_{};
  std::vector<DnsMessage> fetched_;
};

TEST_F(DnsRelayTest, AnswersGoToWhoeverAsked) {
  const sys::UniqueFd first = Asker();
  const sys::UniqueFd second = Asker();
  Ask(first, "one");
  Ask(second, "two");
  std::string heard;
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Fetch(); }},
      {[&] { return fetched_.size() == 1; }, [&] { Fetch(); }},
      {[&] { return fetched_.size() == 2; },
       [&] {
         for (DnsMessage answer : fetched_) {
           answer.set_message("answer to " + answer.message());
           relay_.Answer(answer);
         }
       }},
      {[&] { return !(heard = Heard(first)).empty(); }, [] {}},
  });
  ASSERT_EQ(steps, 4U);
  EXPECT_EQ(heard, "answer to one");
  EXPECT_EQ(Heard(second), "answer to two");
}

TEST_F(DnsRelayTest, WhoIsGoneTakesNoQuestion) {
  const sys::UniqueFd asker = Asker();
  Ask(asker, "one");
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Fetch(false); }},
      {[] { return true; }, [&] { Fetch(); }},
      {[&] { return fetched_.size() == 1; }, [] {}},
  });
  ASSERT_EQ(steps, 3U);
  EXPECT_EQ(fetched_[0].message(), "one");
}

TEST_F(DnsRelayTest, AnswersThatNobodyAskedForAreDropped) {
  const sys::UniqueFd asker = Asker();
  Ask(asker, "one");
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Fetch(); }},
      {[&] { return fetched_.size() == 1; },
       [&] {
         DnsMessage other = fetched_[0];
         other.set_id(other.id() + 1);
         relay_.Answer(other);
         relay_.Answer(fetched_[0]);
         relay_.Answer(fetched_[0]);
       }},
  });
  ASSERT_EQ(steps, 2U);
  EXPECT_EQ(Heard(asker), "one");
  EXPECT_EQ(Heard(asker), "");
}

}  // namespace
}  // namespace kata::guest
