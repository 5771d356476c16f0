// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/line.h"

#include <sys/socket.h>

#include <vector>

#include <gtest/gtest.h>

#include "sys/sockets.h"

namespace kata::stdio {
namespace {

using std::chrono::seconds;

class LineTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = sys::EventLoop::Create().value();
    pair_ = sys::MakeSocketPair().value();
    loop_->RunAfter(seconds(30), [this] {
      ADD_FAILURE() << "no end within the deadline";
      loop_->Stop();
    });
  }

  void Say(const LineMessage& message) {
    ASSERT_EQ(::send(pair_.theirs.get(), &message, sizeof message, 0),
              static_cast<ssize_t>(sizeof message));
  }

  std::unique_ptr<sys::EventLoop> loop_;
  sys::SocketPair pair_;
};

TEST_F(LineTest, TellsOfSignalsSizesAndTheEndInTheirOrder) {
  Say({.kind = LineMessage::kSignal, .first = 15});
  Say({.kind = LineMessage::kResize, .first = 31, .second = 97});
  pair_.theirs.Reset();
  std::vector<LineEvent> events;
  const auto line = std::make_shared<Line>(*loop_, std::move(pair_.ours),
                                           [&](LineEvent event, std::function<void()> handled) {
                                             events.push_back(event);
                                             if (event.kind == LineEvent::Kind::kHangup)
                                               return loop_->Stop();
                                             handled();
                                           });
  Line::Watch(line);
  ASSERT_TRUE(loop_->Run());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].signal, 15);
  EXPECT_EQ(events[1].rows, 31u);
  EXPECT_EQ(events[1].columns, 97u);
}

TEST_F(LineTest, GarbageEndsIt) {
  ASSERT_EQ(::send(pair_.theirs.get(), "abc", 3, 0), 3);
  LineEvent last{.kind = LineEvent::Kind::kSignal};
  const auto line = std::make_shared<Line>(*loop_, std::move(pair_.ours),
                                           [&](LineEvent event, std::function<void()>) {
                                             last = event;
                                             loop_->Stop();
                                           });
  Line::Watch(line);
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(last.kind, LineEvent::Kind::kHangup);
}

TEST_F(LineTest, CarriesTheStatusAsItsLastMessage) {
  const auto line = std::make_shared<Line>(*loop_, std::move(pair_.ours), Line::Handler());
  line->SendExit(137);
  LineMessage message;
  ASSERT_EQ(::recv(pair_.theirs.get(), &message, sizeof message, 0),
            static_cast<ssize_t>(sizeof message));
  EXPECT_EQ(message.kind, LineMessage::kExit);
  EXPECT_EQ(message.first, 137);
  EXPECT_EQ(::recv(pair_.theirs.get(), &message, sizeof message, 0), 0);
}

}  // namespace
}  // namespace kata::stdio
