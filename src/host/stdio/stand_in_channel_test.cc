// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/stand_in_channel.h"

#include <sys/socket.h>

#include <vector>

#include <gtest/gtest.h>

#include "sys/sockets.h"

namespace kata::stdio {
namespace {

using std::chrono::seconds;

class StandInChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = sys::EventLoop::Create().value();
    pair_ = sys::MakeSocketPair().value();
    loop_->RunAfter(seconds(30), [this] {
      ADD_FAILURE() << "no end within the deadline";
      loop_->Stop();
    });
  }

  void Say(const StandInMessage& message) {
    ASSERT_EQ(::send(pair_.theirs.get(), &message, sizeof message, 0),
              static_cast<ssize_t>(sizeof message));
  }

  std::unique_ptr<sys::EventLoop> loop_;
  sys::SocketPair pair_;
};

TEST_F(StandInChannelTest, TellsOfSignalsSizesAndTheEndInTheirOrder) {
  Say({.kind = StandInMessage::kSignal, .first = 15});
  Say({.kind = StandInMessage::kResize, .first = 31, .second = 97});
  pair_.theirs.Reset();
  std::vector<StandInEvent> events;
  const auto channel = std::make_shared<StandInChannel>(
      *loop_, std::move(pair_.ours), [&](StandInEvent event, std::function<void()> handled) {
        events.push_back(event);
        if (event.kind == StandInEvent::Kind::kHangup) return loop_->Stop();
        handled();
      });
  StandInChannel::Watch(channel);
  ASSERT_TRUE(loop_->Run());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].signal, 15);
  EXPECT_EQ(events[1].rows, 31u);
  EXPECT_EQ(events[1].columns, 97u);
}

TEST_F(StandInChannelTest, GarbageEndsIt) {
  ASSERT_EQ(::send(pair_.theirs.get(), "abc", 3, 0), 3);
  StandInEvent last{.kind = StandInEvent::Kind::kSignal};
  const auto channel = std::make_shared<StandInChannel>(
      *loop_, std::move(pair_.ours), [&](StandInEvent event, std::function<void()>) {
        last = event;
        loop_->Stop();
      });
  StandInChannel::Watch(channel);
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(last.kind, StandInEvent::Kind::kHangup);
}

TEST_F(StandInChannelTest, CarriesTheStatusAsItsLastMessage) {
  const auto channel =
      std::make_shared<StandInChannel>(*loop_, std::move(pair_.ours), StandInChannel::Handler());
  channel->SendExit(137);
  StandInMessage message;
  ASSERT_EQ(::recv(pair_.theirs.get(), &message, sizeof message, 0),
            static_cast<ssize_t>(sizeof message));
  EXPECT_EQ(message.kind, StandInMessage::kExit);
  EXPECT_EQ(message.first, 137);
  EXPECT_EQ(::recv(pair_.theirs.get(), &message, sizeof message, 0), 0);
}

}  // namespace
}  // namespace kata::stdio
