// SPDX-License-Identifier: Apache-2.0
#include "host/agent/waiting_calls.h"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ttrpc/server.h"
#include "ttrpc/test_support.h"

namespace kata::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kService = "service";

// A guest that answers a call when the test wants it to.
class WaitingCallsTest : public testing::Test {
 protected:
  WaitingCallsTest() {
    auto [client_end, server_end] = ttrpc::MakeSocketPair();
    thread_.RunOnLoop([&] {
      server_ = std::make_unique<ttrpc::Server>(thread_.get());
      server_->Handle(kService, "Wait",
                      [this](ttrpc::CallContext, std::string_view, ttrpc::Responder responder) {
                        waiting_.push_back(std::move(responder));
                      });
      server_->Handle(kService, "Settle",
                      [](ttrpc::CallContext, std::string_view, ttrpc::Responder responder) {
                        responder.ReplyEmpty();
                      });
      EXPECT_TRUE(server_->Serve(std::move(server_end)));
    });
    calls_ = std::make_shared<WaitingCalls>(thread_.get());
    client_ = ttrpc::Client::Create(thread_.get(), std::move(client_end), {}, [this](const Error&) {
                calls_->Release();
              }).value();
    calls_->Use(*client_);
  }
  ~WaitingCallsTest() override {
    calls_->End();
    thread_.RunOnLoop([this] {
      waiting_.clear();
      server_.reset();
      client_.reset();
    });
  }

  void Call() {
    calls_->Call(kService, "Wait", "payload",
                 [this](Result<std::string> answer) { answers_.push_back(std::move(answer)); });
  }
  // Returns when all that was sent before has been handled and answered.
  void Settle() {
    ASSERT_TRUE(client_->Call(kService, "Settle", "", Deadline::After(std::chrono::seconds(20))));
  }
  size_t Waiting() {
    Settle();
    size_t count = 0;
    thread_.RunOnLoop([&] { count = waiting_.size(); });
    return count;
  }
  void AnswerAll(const Result<std::string>& answer) {
    thread_.RunOnLoop([&] {
      for (ttrpc::Responder& one : waiting_) {
        if (answer) {
          one.ReplyBytes(*answer);
        } else {
          one.Fail(answer.error());
        }
      }
      waiting_.clear();
    });
    Settle();
  }
  std::vector<std::string> Answers() {
    std::vector<std::string> texts;
    thread_.RunOnLoop([&] {
      for (const auto& answer : answers_) {
        texts.push_back(answer ? *answer : std::string(CodeName(answer.error().code())));
      }
    });
    return texts;
  }

  ttrpc::LoopThread thread_;
  std::unique_ptr<ttrpc::Server> server_;
  std::vector<ttrpc::Responder> waiting_;
  std::vector<Result<std::string>> answers_;
  std::shared_ptr<WaitingCalls> calls_;
  std::unique_ptr<ttrpc::Client> client_;
};

const Error kFrozen(Code::kAborted, "frozen");

TEST_F(WaitingCallsTest, WhatAFreezeAbortsIsCalledAgainAfterIt) {
  Call();
  EXPECT_EQ(Waiting(), 1u);
  calls_->Hold();
  AnswerAll(std::unexpected(kFrozen));
  EXPECT_THAT(Answers(), IsEmpty());
  EXPECT_EQ(Waiting(), 0u) << "not before the end of the freeze";
  calls_->Release();
  EXPECT_EQ(Waiting(), 1u);
  AnswerAll(std::string("done"));
  EXPECT_THAT(Answers(), ElementsAre("done"));
}

TEST_F(WaitingCallsTest, AnAbortThatComesAfterTheFreezeIsUnderstoodToo) {
  Call();
  EXPECT_EQ(Waiting(), 1u);
  calls_->Hold();
  calls_->Release();
  AnswerAll(std::unexpected(kFrozen));
  EXPECT_EQ(Waiting(), 1u);
  AnswerAll(std::string("done"));
  EXPECT_THAT(Answers(), ElementsAre("done"));
}

TEST_F(WaitingCallsTest, WhatIsCalledWhileAllIsFrozenIsSentAfterwards) {
  calls_->Hold();
  Call();
  EXPECT_EQ(Waiting(), 0u);
  calls_->Release();
  EXPECT_EQ(Waiting(), 1u);
}

TEST_F(WaitingCallsTest, AGuestThatAbortsWithoutAFreezeIsNotAskedForEver) {
  calls_->Hold();
  calls_->Release();
  Call();
  EXPECT_EQ(Waiting(), 1u);
  AnswerAll(std::unexpected(kFrozen));
  EXPECT_THAT(Answers(), ElementsAre(CodeName(Code::kAborted)));
}

TEST_F(WaitingCallsTest, WhatIsKeptEndsWithTheConnection) {
  calls_->Hold();
  Call();
  Settle();
  client_->Close(Error(Code::kUnavailable, "gone"));
  for (int i = 0; Answers().empty() && i < 10'000; ++i) std::this_thread::yield();
  EXPECT_THAT(Answers(), ElementsAre(CodeName(Code::kUnavailable)));
}

TEST_F(WaitingCallsTest, WhatIsKeptEndsWithTheClient) {
  calls_->Hold();
  Call();
  calls_->End();
  EXPECT_THAT(Answers(), ElementsAre(CodeName(Code::kCancelled)));
}

}  // namespace
}  // namespace kata::agent
