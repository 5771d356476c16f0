// SPDX-License-Identifier: Apache-2.0
#include "sys/event_loop.h"

#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace kata::sys {
namespace {

using std::chrono::milliseconds;

TEST(EventLoop, CallsTheHandlerOfAReadyDescriptor) {
  auto loop = EventLoop::Create().value();
  Pipe pipe = MakePipe().value();
  std::string got;
  ASSERT_TRUE(loop->Add(pipe.read.get(), EPOLLIN, [&](uint32_t) {
    char c;
    ASSERT_EQ(::read(pipe.read.get(), &c, 1), 1);
    got += c;
    if (got.size() == 2) loop->Stop();
  }));
  ASSERT_TRUE(WriteAll(pipe.write.get(), "ab"));
  ASSERT_TRUE(loop->Run());
  EXPECT_EQ(got, "ab");
}

TEST(EventLoop, RunsTimersInTheirOrderAndNotTheCancelled) {
  auto loop = EventLoop::Create().value();
  std::string order;
  loop->RunAfter(milliseconds(20), [&] {
    order += "c";
    loop->Stop();
  });
  const auto cancelled = loop->RunAfter(milliseconds(10), [&] { order += "b"; });
  loop->RunAfter(milliseconds(1), [&] { order += "a"; });
  loop->Cancel(cancelled);
  ASSERT_TRUE(loop->Run());
  EXPECT_EQ(order, "ac");
}

TEST(EventLoop, RunsWhatAnotherThreadPosts) {
  auto loop = EventLoop::Create().value();
  bool on_loop = false;
  std::thread other([&] {
    loop->Post([&] { on_loop = loop->OnLoopThread(); });
    loop->Post([&] { loop->Stop(); });
  });
  ASSERT_TRUE(loop->Run());
  other.join();
  EXPECT_TRUE(on_loop);
}

TEST(EventLoop, AReusedDescriptorNumberDoesNotGetTheOldOnesEvent) {
  auto loop = EventLoop::Create().value();
  Pipe first = MakePipe().value();
  Pipe second = MakePipe().value();
  int wrong = 0;
  UniqueFd reused;
  const auto replace_second = [&](uint32_t) {
    loop->Remove(first.read.get());
    if (!loop->OnLoopThread()) return;
    const int number = second.read.get();
    loop->Remove(number);
    second.read.Reset();
    Pipe fresh = MakePipe().value();
    ASSERT_EQ(::dup2(fresh.read.get(), number), number);
    reused.Reset(number);
    ASSERT_TRUE(
        loop->Add(number, EPOLLIN, [&](uint32_t events) { wrong += (events & EPOLLIN) ? 1 : 0; }));
    loop->RunAfter(milliseconds(5), [&] { loop->Stop(); });
  };
  ASSERT_TRUE(loop->Add(first.read.get(), EPOLLIN, replace_second));
  ASSERT_TRUE(loop->Add(second.read.get(), EPOLLIN, [&](uint32_t) { FAIL() << "closed by then"; }));
  ASSERT_TRUE(WriteAll(first.write.get(), "x"));
  ASSERT_TRUE(WriteAll(second.write.get(), "x"));
  ASSERT_TRUE(loop->Run());
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace kata::sys
