// SPDX-License-Identifier: Apache-2.0
//
// In a network namespace that the test makes; the guest is a server that echoes. Needs root.
#include "host/machine/loopback_door.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "proto/guest.pb.h"
#include "sys/netns.h"
#include "sys/socket_address.h"
#include "sys/sockets.h"
#include "sys/testing/network_test.h"
#include "ttrpc/server.h"

namespace kata::sandbox {
namespace {

constexpr const char* kDoorService = "kata.cpp.v1.Guest";
constexpr uint16_t kEcho = 7;

// Who listens at kEcho says what it has heard, and ends when it has heard the end.
class EchoingGuest {
 public:
  explicit EchoingGuest(sys::EventLoop& loop) : server_(loop) {
    server_.Handle<guest::OpenConnectionRequest>(
        kDoorService, "OpenConnection",
        [this](ttrpc::CallContext, const guest::OpenConnectionRequest& request,
               ttrpc::Responder responder) {
          if (request.port() != kEcho) {
            return responder.Fail(Error(Code::kUnavailable, "nobody listens"));
          }
          connections_[request.id()] = {};
          responder.ReplyEmpty();
        });
    server_.Handle<guest::ReadConnectionRequest>(
        kDoorService, "ReadConnection",
        [this](ttrpc::CallContext, const guest::ReadConnectionRequest& request,
               ttrpc::Responder responder) {
          connections_[request.id()].reader = std::move(responder);
          Say(connections_[request.id()]);
        });
    server_.Handle<guest::ConnectionData>(
        kDoorService, "WriteConnection",
        [this](ttrpc::CallContext, const guest::ConnectionData& request,
               ttrpc::Responder responder) {
          Connection& connection = connections_[request.id()];
          connection.heard += request.data();
          connection.ended = request.data().empty();
          responder.ReplyEmpty();
          Say(connection);
        });
    server_.Handle<guest::CloseConnectionRequest>(
        kDoorService, "CloseConnection",
        [](ttrpc::CallContext, const guest::CloseConnectionRequest&, ttrpc::Responder responder) {
          responder.ReplyEmpty();
        });
  }
  Result<void> Serve(sys::UniqueFd stream) { return server_.Serve(std::move(stream)); }

 private:
  struct Connection {
    std::string heard;
    bool ended = false;
    std::optional<ttrpc::Responder> reader;
  };
  static void Say(Connection& connection) {
    if (!connection.reader || (connection.heard.empty() && !connection.ended)) return;
    constexpr size_t kMost = 1000;
    guest::ConnectionData data;
    data.set_data(connection.heard.substr(0, kMost));
    connection.heard.erase(0, kMost);
    auto reader = std::exchange(connection.reader, std::nullopt);
    reader->Reply(data);
  }

  ttrpc::Server server_;
  std::map<uint64_t, Connection> connections_;
};

class LoopbackDoorTest : public sys::testing::NetworkTest {
 protected:
  void SetUpNetwork() override {
    ASSERT_TRUE(sys::ChangeLink(*socket_, Find("lo").index, {.up = true}));
    loop_ = sys::EventLoop::Create().value();
    guest_.emplace(*loop_);
    auto pair = sys::MakeSocketPair().value();
    ASSERT_TRUE(guest_->Serve(std::move(pair.theirs)));
    agent_ = agent::AgentClient::Create(*loop_, std::move(pair.ours), std::chrono::seconds(10), {})
                 .value();
    thread_ = std::thread([this] { (void)loop_->Run(); });
    auto door = LoopbackDoor::Start(ns_.get(), *agent_, *loop_);
    ASSERT_TRUE(door) << door.error().message();
    door_ = *std::move(door);
  }
  void TearDown() override {
    if (door_) door_->Stop();
    door_.reset();
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
    agent_.reset();
    guest_.reset();
  }
  sys::UniqueFd Call(const char* address, uint16_t port) {
    auto connected = sys::RunInNetns(ns_.get(), [&]() -> Result<sys::UniqueFd> {
      const auto to = *sys::IpAddress::Parse(address);
      sys::UniqueFd socket(::socket(to.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      KATA_TRY(sys::Connect(socket.get(), {.address = to, .port = port}));
      return socket;
    });
    EXPECT_TRUE(connected) << connected.error().message();
    return connected ? *std::move(connected) : sys::UniqueFd();
  }
  // All that comes until the end; the number of an error.
  static std::string HearAll(const sys::UniqueFd& socket) {
    std::string heard;
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
      if (size < 0) return errno == ECONNRESET ? "reset" : "error";
      if (size == 0) return heard;
      heard.append(buffer.data(), static_cast<size_t>(size));
    }
  }

  std::unique_ptr<sys::EventLoop> loop_;
  std::optional<EchoingGuest> guest_;
  std::unique_ptr<agent::AgentClient> agent_;
  std::thread thread_;
  std::shared_ptr<LoopbackDoor> door_;
};

TEST_F(LoopbackDoorTest, WhatIsSaidAndTheEndOfItGetThereAndBack) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    const sys::UniqueFd caller = Call(address, kEcho);
    const std::string said(100000, 'x');
    std::thread speaker([&] {
      EXPECT_TRUE(sys::SendAll(caller.get(), said, Deadline::After(std::chrono::seconds(10))));
      ::shutdown(caller.get(), SHUT_WR);
    });
    EXPECT_EQ(HearAll(caller), said);
    speaker.join();
  }
}

TEST_F(LoopbackDoorTest, WhereNobodyListensTheConnectionIsReset) {
  EXPECT_EQ(HearAll(Call("127.0.0.1", kEcho + 1)), "reset");
  EXPECT_EQ(HearAll(Call("::1", kEcho + 1)), "reset");
}

TEST_F(LoopbackDoorTest, ThereAreNoMoreThanSoMany) {
  std::vector<sys::UniqueFd> callers;
  for (size_t i = 0; i < LoopbackDoor::kMost; ++i) callers.push_back(Call("127.0.0.1", kEcho));
  EXPECT_EQ(HearAll(Call("127.0.0.1", kEcho)), "reset");
  for (const auto& caller : callers) ::shutdown(caller.get(), SHUT_WR);
  for (const auto& caller : callers) EXPECT_EQ(HearAll(caller), "");
  // Their ends are known a moment later.
  std::string heard = "reset";
  for (int tries = 0; heard == "reset" && tries < 100; ++tries) {
    const sys::UniqueFd caller = Call("127.0.0.1", kEcho);
    ::shutdown(caller.get(), SHUT_WR);
    heard = HearAll(caller);
  }
  EXPECT_EQ(heard, "");
}

TEST_F(LoopbackDoorTest, WhoIsConnectedAtTheEndHearsIt) {
  const sys::UniqueFd caller = Call("127.0.0.1", kEcho);
  EXPECT_TRUE(sys::SendAll(caller.get(), "a", Deadline::After(std::chrono::seconds(10))));
  char heard = 0;
  EXPECT_EQ(::recv(caller.get(), &heard, 1, 0), 1);
  door_->Stop();
  door_.reset();
  EXPECT_EQ(HearAll(caller), "");
}

}  // namespace
}  // namespace kata::sandbox
