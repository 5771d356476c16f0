// SPDX-License-Identifier: Apache-2.0
//
// Both ends of the channel, without a guest.
#include "host/cli/oci/stand_in.h"

#include <fcntl.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "host/stdio/stand_in_channel.h"
#include "sys/event_loop.h"
#include "sys/sockets.h"

namespace kata::cli::oci {
namespace {

using std::chrono::seconds;

class StandInTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/kata-line-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    directory_ = path;
    socket_ = directory_ + "/line.sock";
    listener_ = sys::ListenUnix(socket_).value();
    cancel_ = sys::MakePipe().value();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  std::string socket_;
  sys::UniqueFd listener_;
  sys::Pipe cancel_;
};

TEST_F(StandInTest, TheShimGetsTheStreamsAndTheStandInTheStatus) {
  sys::Pipe in = sys::MakePipe().value();
  sys::Pipe out = sys::MakePipe().value();
  int status = -1;
  std::thread stand_in([&] {
    const int streams[] = {in.read.get(), out.write.get(), out.write.get()};
    auto channel = HandOver(listener_.get(), streams, cancel_.read.get());
    ASSERT_TRUE(channel) << channel.error().message();
    status = Attend(*std::move(channel), -1);
  });
  auto streams = stdio::OpenStandIn(socket_, false, Deadline::After(seconds(10)));
  ASSERT_TRUE(streams) << streams.error().message();
  ASSERT_TRUE(sys::WriteAll(streams->out.get(), "said"));
  char text[5] = {};
  ASSERT_EQ(::read(out.read.get(), text, 4), 4);
  EXPECT_STREQ(text, "said");
  const auto loop = sys::EventLoop::Create().value();
  stdio::StandInChannel channel(*loop, std::move(streams->channel), {});
  channel.SendExit(42);
  stand_in.join();
  EXPECT_EQ(status, 42);
}

TEST_F(StandInTest, TheFlagsOfTheCallersPipeStay) {
  sys::Pipe pipe = sys::MakePipe().value();
  std::thread stand_in([&] {
    const int streams[] = {pipe.read.get(), pipe.write.get(), pipe.write.get()};
    EXPECT_TRUE(HandOver(listener_.get(), streams, cancel_.read.get()));
  });
  const auto streams = stdio::OpenStandIn(socket_, false, Deadline::After(seconds(10)));
  stand_in.join();
  ASSERT_TRUE(streams) << streams.error().message();
  EXPECT_NE(::fcntl(streams->in.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(pipe.read.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(pipe.write.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(StandInTest, AShimThatGoesAwayCountsAsKilled) {
  std::thread stand_in([&] {
    const int streams[] = {0, 1, 2};
    auto channel = HandOver(listener_.get(), streams, cancel_.read.get());
    ASSERT_TRUE(channel);
    EXPECT_EQ(Attend(*std::move(channel), -1), kLostStatus);
  });
  auto streams = stdio::OpenStandIn(socket_, false, Deadline::After(seconds(10)));
  ASSERT_TRUE(streams);
  streams->channel.Reset();
  stand_in.join();
}

TEST_F(StandInTest, TheWaitForTheShimCanBeCancelled) {
  cancel_.write.Reset();
  const int streams[] = {0, 1, 2};
  const auto channel = HandOver(listener_.get(), streams, cancel_.read.get());
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code(), Code::kCancelled);
}

}  // namespace
}  // namespace kata::cli::oci
