// SPDX-License-Identifier: Apache-2.0
//
// Client and server against each other, over a socketpair.
#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/mutex.h"
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
            const MutexLock lock(mutex_);
            parked_.push_back({std::move(context), std::string(payload), std::move(reply)});
            changed_.NotifyAll();
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
    const MutexLock lock(mutex_);
    EXPECT_TRUE(changed_.WaitUntil(
        mutex_, Soon(), [&]() KATA_REQUIRES(mutex_) { return parked_.size() >= count; }));
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

  Mutex mutex_;
  CondVar changed_;
  std::vector<Parked> parked_ KATA_GUARDED_BY(mutex_);
};

TEST_F(TtrpcTest, ACallGetsItsAnswer) {
  Begin();
  EXPECT_EQ(client_->Call(kService, "Echo", "hello", Soon()).value(), "hello");
  EXPECT_EQ(client_->Call(kService, "Echo", "", Deadline::Never()).value(), "");
}

TEST_F(TtrpcTest, TypedMessagesGoBothWays) {
  Begin();
  loop_.RunOnLoop([&] {
    server_->Handle<types::IPAddress>(
        kService, "Typed", [](CallContext, types::IPAddress request, Responder reply) {
          types::IPAddress response;
          response.set_address(request.address() + "/" + request.mask());
          reply.Reply(response);
        });
  });
  types::IPAddress request;
  request.set_address("10.0.0.1");
  request.set_mask("24");
  EXPECT_EQ(client_->Call<types::IPAddress>(kService, "Typed", request, Soon())->address(),
            "10.0.0.1/24");
  EXPECT_EQ(client_->Call(kService, "Typed", "\xff\xff", Soon()).error().code(),
            Code::kInvalidArgument);
}

TEST_F(TtrpcTest, ErrorsKeepTheirCodeAndTheirMessage) {
  Begin();
  loop_.RunOnLoop([&] {
    server_->Handle(kService, "Fail", [](CallContext, std::string_view payload, Responder reply) {
      reply.Fail(Error(static_cast<Code>(payload[0]), "reason \xff"));
    });
  });
  for (char code = 1; code <= 16; ++code) {
    const auto answer = client_->Call(kService, "Fail", std::string(1, code), Soon());
    EXPECT_EQ(answer.error().code(), static_cast<Code>(code));
    EXPECT_EQ(answer.error().message(), "reason \xef\xbf\xbd");
  }
}

TEST_F(TtrpcTest, UnknownMethodsAndServicesAreUnimplemented) {
  Begin();
  EXPECT_EQ(client_->Call(kService, "Nope", "", Soon()).error().code(), Code::kUnimplemented);
  EXPECT_EQ(client_->Call("no.Service", "Echo", "", Soon()).error().code(), Code::kUnimplemented);
}

TEST_F(TtrpcTest, MetadataAndDeadlineReachTheHandler) {
  Begin();
  const Deadline deadline = Soon();
  auto answer = Start("Park", "", deadline, {{"containerd-namespace-ttrpc", "k8s.io"}});
  Parked call = std::move(AwaitParked(1)[0]);
  EXPECT_EQ(call.context.metadata, (Metadata{{"containerd-namespace-ttrpc", "k8s.io"}}));
  EXPECT_LE(call.context.deadline.when(), deadline.when() + seconds(1));
  EXPECT_GE(call.context.deadline.when(), deadline.when() - seconds(1));
  call.responder.ReplyEmpty();
  EXPECT_EQ(answer.get().value(), "");

  answer = Start("Park", "", Deadline::Never());
  call = std::move(AwaitParked(1)[0]);
  EXPECT_TRUE(call.context.deadline.never());
  call.responder.ReplyEmpty();
  EXPECT_TRUE(answer.get());
}

TEST_F(TtrpcTest, AThousandCallsInFlightAreAnsweredInAnyOrder) {
  Begin();
  std::vector<std::future<Result<std::string>>> answers;
  for (int i = 0; i < 1000; ++i) answers.push_back(Start("Park", std::to_string(i)));
  std::vector<Parked> calls = AwaitParked(1000);
  EXPECT_EQ(server_->calls_in_flight(), 1000u);
  EXPECT_EQ(client_->calls_in_flight(), 1000u);
  std::thread odd([&] {
    for (size_t i = calls.size(); i-- > 0;) {
      if (i % 2 == 1) calls[i].responder.ReplyBytes(calls[i].payload);
    }
  });
  for (size_t i = calls.size(); i-- > 0;) {
    if (i % 2 == 0) calls[i].responder.ReplyBytes(calls[i].payload);
  }
  odd.join();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(answers[static_cast<size_t>(i)].get().value(), std::to_string(i));
  }
  EXPECT_EQ(server_->calls_in_flight(), 0u);
  EXPECT_EQ(client_->calls_in_flight(), 0u);
}

TEST_F(TtrpcTest, ManyThreadsCallAtOnce) {
  Begin();
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string payload = std::to_string(t * 1000 + i) + std::string(5000, 'x');
        if (client_->Call(kService, "Echo", payload, Soon()) == payload) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 1600);
}

TEST_F(TtrpcTest, PayloadsUpToTheBoundTravelAndLargerOnesAreRefused) {
  Begin();
  const std::string large(kMaxPayload - 100, 'x');
  EXPECT_EQ(client_->Call(kService, "Echo", large, Soon()).value(), large);
  EXPECT_EQ(client_->Call(kService, "Echo", large + std::string(100, 'y'), Soon()).error().code(),
            Code::kResourceExhausted);
  loop_.RunOnLoop([&] {
    server_->Handle(kService, "Huge", [](CallContext, std::string_view, Responder reply) {
      reply.ReplyBytes(std::string(kMaxPayload, 'x'));
    });
  });
  EXPECT_EQ(client_->Call(kService, "Huge", "", Soon()).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(client_->Call(kService, "Echo", "still there", Soon()).value(), "still there");
}

TEST_F(TtrpcTest, ACallEndsAtItsDeadlineOnBothSides) {
  Begin();
  auto answer = Start("Park", "", Deadline::After(milliseconds(50)));
  Parked call = std::move(AwaitParked(1)[0]);
  EXPECT_TRUE(call.responder.wanted());
  EXPECT_EQ(answer.get().error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(client_->Call(kService, "Park", "", Deadline::After(milliseconds(50))).error().code(),
            Code::kDeadlineExceeded);
  EXPECT_EQ(client_->Call(kService, "Park", "", Deadline::After(milliseconds(-1))).error().code(),
            Code::kDeadlineExceeded);
  AwaitParked(1);
  const Deadline limit = Soon();
  while (call.responder.wanted() && !limit.Passed()) std::this_thread::yield();
  EXPECT_FALSE(call.responder.wanted());
  call.responder.ReplyBytes("too late");
  EXPECT_EQ(client_->Call(kService, "Echo", "next", Soon()).value(), "next");
}

TEST_F(TtrpcTest, AnEarlierDeadlineOvertakesTheTimerOfALaterOne) {
  Begin();
  auto late = Start("Park", "", Deadline::After(seconds(60)));
  auto early = Start("Park", "", Deadline::After(milliseconds(20)));
  EXPECT_EQ(early.get().error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(late.wait_for(seconds(0)), std::future_status::timeout);
}

TEST_F(TtrpcTest, ACancelledCallEndsOnceAndItsAnswerIsDropped) {
  Begin();
  auto answer = Start("Park");
  const Client::CallId id = last_call_;
  Parked call = std::move(AwaitParked(1)[0]);
  client_->Cancel(id);
  client_->Cancel(id);
  EXPECT_EQ(answer.get().error().code(), Code::kCancelled);
  call.responder.ReplyBytes("nobody waits");
  EXPECT_EQ(client_->Call(kService, "Echo", "next", Soon()).value(), "next");
}

TEST_F(TtrpcTest, AResponderThatIsDroppedAnswersInternal) {
  Begin();
  EXPECT_EQ(client_->Call(kService, "Forget", "", Soon()).error().code(), Code::kInternal);
}

TEST_F(TtrpcTest, AResponderMayOutliveTheServerAndTheLoop) {
  Begin();
  auto answer = Start("Park");
  Parked call = std::move(AwaitParked(1)[0]);
  loop_.RunOnLoop([&] { server_.reset(); });
  EXPECT_EQ(answer.get().error().code(), Code::kUnavailable);
  EXPECT_EQ(client_closed_.get_future().get().code(), Code::kUnavailable);
  server_side_closed_.get_future().get();
  EXPECT_FALSE(call.responder.wanted());
  loop_.RunOnLoop([&] { client_.reset(); });
  loop_.Stop();
  call.responder.ReplyBytes("to nobody");
  loop_.Restart();
}

TEST_F(TtrpcTest, ManyThreadsMayAnswerWhileTheServerGoes) {
  Begin();
  for (int i = 0; i < 500; ++i) Start("Park", std::string(1000, 'x'));
  std::vector<Parked> calls = AwaitParked(500);
  std::thread answering([&] {
    for (Parked& call : calls) call.responder.ReplyBytes(call.payload);
  });
  loop_.RunOnLoop([&] { server_.reset(); });
  answering.join();
}

TEST_F(TtrpcTest, AHandlerMayDestroyTheServer) {
  Begin();
  loop_.RunOnLoop([&] {
    server_->Handle(kService, "Shutdown", [this](CallContext, std::string_view, Responder reply) {
      reply.ReplyEmpty();
      server_.reset();
    });
  });
  EXPECT_TRUE(client_->Call(kService, "Shutdown", "", Soon()));
  EXPECT_EQ(client_->Call(kService, "Echo", "", Soon()).error().code(), Code::kUnavailable);
}

TEST_F(TtrpcTest, DestroyingTheClientFromAnotherThreadEndsItsCalls) {
  Begin();
  auto asynchronous = Start("Park");
  std::thread blocked([&] {
    EXPECT_EQ(client_->Call(kService, "Park", "", Deadline::Never()).error().code(),
              Code::kCancelled);
  });
  const auto parked = AwaitParked(2);
  client_.reset();
  blocked.join();
  EXPECT_EQ(asynchronous.get().error().code(), Code::kCancelled);
  server_side_closed_.get_future().get();
  EXPECT_EQ(client_closed_.get_future().wait_for(seconds(0)), std::future_status::timeout);
}

TEST_F(TtrpcTest, AClientMayBeDestroyedByItsOwnAnswer) {
  Begin();
  auto parked = Start("Park");
  const auto calls = AwaitParked(1);
  std::promise<void> done;
  client_->CallAsync(kService, "Echo", "", Soon(), [&](Result<std::string> answer) {
    EXPECT_TRUE(answer);
    client_.reset();
    done.set_value();
  });
  done.get_future().get();
  EXPECT_FALSE(parked.get());
}

TEST_F(TtrpcTest, ABlockedCallerIsFreedWhenTheLoopIsDestroyed) {
  Begin();
  auto answer = std::async(std::launch::async,
                           [&] { return client_->Call(kService, "Park", "", Deadline::Never()); });
  AwaitParked(1);
  loop_.RunOnLoop([&] { server_.reset(); });
  EXPECT_FALSE(answer.get());
}

TEST_F(TtrpcTest, ABlockingCallOnTheLoopsThreadIsRefused) {
  Begin();
  loop_.RunOnLoop([&] {
    EXPECT_EQ(client_->Call(kService, "Echo", "", Soon()).error().code(), Code::kInternal);
  });
}

TEST_F(TtrpcTest, CloseEndsCallsWithItsReason) {
  Begin();
  auto answer = Start("Park");
  client_->Close(Error(Code::kAborted, "the sandbox is going"));
  EXPECT_EQ(answer.get().error().code(), Code::kAborted);
  EXPECT_EQ(client_closed_.get_future().get().code(), Code::kAborted);
  EXPECT_EQ(client_->Call(kService, "Echo", "", Soon()).error().code(), Code::kAborted);
}

TEST_F(TtrpcTest, CallsAboveTheServersBoundAreRefusedAndTheOthersGoOn) {
  Begin({.max_calls = 2});
  auto first = Start("Park");
  auto second = Start("Park");
  EXPECT_EQ(client_->Call(kService, "Echo", "", Soon()).error().code(), Code::kResourceExhausted);
  for (Parked& call : AwaitParked(2)) call.responder.ReplyEmpty();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  EXPECT_TRUE(client_->Call(kService, "Echo", "", Soon()));
}

TEST_F(TtrpcTest, CallsAboveTheClientsBoundAreRefused) {
  Begin({}, {.max_calls = 2});
  auto first = Start("Park");
  auto second = Start("Park");
  EXPECT_EQ(Start("Echo").get().error().code(), Code::kResourceExhausted);
  for (Parked& call : AwaitParked(2)) call.responder.ReplyEmpty();
}

}  // namespace
}  // namespace kata::ttrpc
