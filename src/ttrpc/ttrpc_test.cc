// SPDX-License-Identifier: Apache-2.0
//
// Client and server against each other, over a socketpair.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "proto/types.pb.h"
#include "ttrpc/client.h"
#include "ttrpc/server.h"
#include "ttrpc/test_support.h"

namespace kata::ttrpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kService = "test.Service";

Deadline Soon() { return Deadline::After(seconds(30)); }

// A server with the methods that tests need, and a client connected to it.
class TtrpcTest : public testing::Test {
 protected:
  void Begin(Limits server_limits = {}, Limits client_limits = {}) {
    loop_.RunOnLoop([&] {
      server_.emplace(loop_.get(), server_limits);
      server_->Handle(kService, "Echo", [](CallContext, std::string_view payload, Responder reply) {
        reply.ReplyBytes(std::string(payload));
      });
      server_->Handle(
          kService, "Park", [this](CallContext context, std::string_view payload, Responder reply) {
            const std::lock_guard lock(mutex_);
            parked_.push_back({std::move(context), std::string(payload), std::move(reply)});
            changed_.notify_all();
          });
      server_->Handle(kService, "Forget", [](CallContext, std::string_view, Responder) {});
      SocketPair pair = MakeSocketPair();
      ASSERT_TRUE(server_->Serve(std::move(pair.a), [this] { server_side_closed_.set_value(); }));
      client_ = Client::Create(loop_.get(), std::move(pair.b), client_limits, [this](Error reason) {
                  client_closed_.set_value(reason);
                }).value();
    });
  }

  void TearDown() override {
    loop_.RunOnLoop([&] {
      client_.reset();
      server_.reset();
    });
  }

  struct Parked {
    CallContext context;
    std::string payload;
    Responder responder;
  };
  std::vector<Parked> AwaitParked(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(30), [&] { return parked_.size() >= count; }));
    return std::exchange(parked_, {});
  }

  std::future<Result<std::string>> Start(std::string method, std::string payload = {},
                                         Deadline deadline = Soon(), Metadata metadata = {}) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    auto answer = promise->get_future();
    last_call_ = client_->CallAsync(
        kService, method, std::move(payload), deadline,
        [promise](Result<std::string> result) { promise->set_value(std::move(result)); },
        std::move(metadata));
    return answer;
  }

  LoopThread loop_;
  std::optional<Server> server_;
  std::unique_ptr<Client> client_;
  std::promise<Error> client_closed_;
  std::promise<void> server_side_closed_;
  Client::CallId last_call_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Parked> parked_;
};

TEST_F(TtrpcTest, ACallGetsItsAnswer) {
  Begin();
  EXPECT_EQ(client_->Call(kService, "Echo", "hello", Soon()).value(), "hello");
  EXPECT_EQ(client_->Call(kService, "Echo", "", Deadline::Never()).value(), "");
}

}  // namespace
}  // namespace kata::ttrpc
