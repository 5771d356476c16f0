// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/loopback_connections.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"
#include "sys/sockets.h"

namespace kata::guest {
namespace {

class LoopbackConnectionsTest : public testing::Test {
 protected:
  // A program that listens, at a port of its own.
  void Listen(const char* address) {
    const auto at = *sys::IpAddress::Parse(address);
    listener_ = *sys::MakeIpSocket(at.family, SOCK_STREAM);
    ASSERT_TRUE(sys::Bind(listener_.get(), {.address = at, .port = 0}));
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
    port_ = sys::LocalAddress(listener_.get())->port;
  }
  void Open(uint64_t id, bool ipv6 = false) {
    connections_.Open(
        id, port_, ipv6, [](int family) { return sys::MakeIpSocket(family, SOCK_STREAM); },
        [this](Result<void> opened) { opened_ = std::move(opened); });
  }
  bool IsOpen() const { return opened_ && opened_->has_value(); }
  void Accept() { accepted_ = *sys::Accept(listener_.get()); }
  std::string Heard() const {
    std::array<char, 64> buffer{};
    const ssize_t size = ::recv(accepted_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size == 0) return "end";
    return size < 0 ? "" : std::string(buffer.data(), static_cast<size_t>(size));
  }
  void Read(uint64_t id) {
    connections_.Read(id, 100, &Always,
                      [this](Result<std::string> data) { read_ = std::move(data); });
  }
  void Write(uint64_t id, std::string data) {
    connections_.Write(id, std::move(data),
                       [this](Result<void> done) { written_ = std::move(done); });
  }

  TestLoop loop_;
  LoopbackConnections connections_{loop_.loop(), 2};
  sys::UniqueFd listener_;
  sys::UniqueFd accepted_;
  uint16_t port_ = 0;
  std::optional<Result<void>> opened_;
  std::optional<Result<void>> written_;
  std::optional<Result<std::string>> read_;
};

TEST_F(LoopbackConnectionsTest, BothSidesHearEachOtherAndTheEnd) {
  Listen("127.0.0.1");
  std::string heard;
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Open(7); }},
      {[&] { return IsOpen(); },
       [&] {
         Accept();
         Write(7, "to you");
       }},
      {[&] { return (heard = Heard()) == "to you"; },
       [&] {
         Read(7);
         EXPECT_EQ(::send(accepted_.get(), "to me", 5, 0), 5);
       }},
      {[&] { return read_ && *read_ == "to me"; }, [&] { Write(7, ""); }},
      {[&] { return (heard = Heard()) == "end"; },
       [&] {
         EXPECT_EQ(::send(accepted_.get(), "last", 4, 0), 4);
         read_.reset();
         Read(7);
       }},
      {[&] { return read_ && *read_ == "last"; },
       [&] {
         accepted_.Reset();
         read_.reset();
         Read(7);
       }},
      {[&] { return read_ && *read_ == ""; }, [&] { connections_.Close(7); }},
  });
  EXPECT_EQ(steps, 7U) << heard;
}

TEST_F(LoopbackConnectionsTest, WhoListensAtTheOtherFamilyIsReachedToo) {
  Listen("::1");
  EXPECT_EQ(loop_.Run({{[] { return true; }, [&] { Open(1, false); }},
                       {[&] { return IsOpen(); }, [&] { Accept(); }}}),
            2U);
}

TEST_F(LoopbackConnectionsTest, NobodyWhoListensIsAnError) {
  Listen("127.0.0.1");
  listener_.Reset();
  EXPECT_EQ(loop_.Run({{[] { return true; }, [&] { Open(1); }},
                       {[&] { return opened_.has_value(); }, [] {}}}),
            2U);
  EXPECT_EQ(opened_->error().error_number(), ECONNREFUSED);
  Read(1);
  EXPECT_EQ(read_->error().code(), Code::kNotFound);
}

TEST_F(LoopbackConnectionsTest, ThereAreNoMoreThanSoMany) {
  Listen("127.0.0.1");
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Open(1); }},
      {[&] { return IsOpen(); },
       [&] {
         opened_.reset();
         Open(1);
         EXPECT_EQ(opened_->error().code(), Code::kAlreadyExists);
         opened_.reset();
         Open(2);
       }},
      {[&] { return IsOpen(); },
       [&] {
         Open(3);
         EXPECT_EQ(opened_->error().code(), Code::kResourceExhausted);
         connections_.Close(1);
         opened_.reset();
         Open(3);
       }},
      {[&] { return IsOpen(); }, [] {}},
  });
  EXPECT_EQ(steps, 4U);
}

TEST_F(LoopbackConnectionsTest, WhoWaitsIsAnsweredWhenAllAreClosed) {
  Listen("127.0.0.1");
  const size_t steps = loop_.Run({
      {[] { return true; }, [&] { Open(1); }},
      {[&] { return IsOpen(); },
       [&] {
         Read(1);
         connections_.CloseAll();
       }},
      {[&] { return read_.has_value(); }, [] {}},
  });
  ASSERT_EQ(steps, 3U);
  EXPECT_EQ(**read_, "");
}

}  // namespace
}  // namespace kata::guest
