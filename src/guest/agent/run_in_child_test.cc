// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/run_in_child.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"
#include "sys/fd.h"

namespace kata::guest {
namespace {

Result<std::string> ResultOf(const std::function<Result<std::string>()>& work) {
  const auto loop = sys::EventLoop::Create();
  std::optional<Result<std::string>> result;
  const auto begun = RunInChild(**loop, work, [&](Result<std::string> got) {
    result = std::move(got);
    (*loop)->Stop();
  });
  EXPECT_TRUE(begun);
  EXPECT_TRUE((*loop)->Run());
  return *std::move(result);
}

TEST(RunInChild, GivesWhatTheWorkReturned) {
  EXPECT_EQ(*ResultOf([]() -> Result<std::string> { return "text"; }), "text");
  EXPECT_EQ(*ResultOf([]() -> Result<std::string> { return std::string(); }), "");
  const std::string much(3 << 20, 'x');
  EXPECT_EQ(*ResultOf([&]() -> Result<std::string> { return much; }), much);
}

TEST(RunInChild, ErrorsKeepTheirCodeAndWords) {
  const auto result =
      ResultOf([]() -> Result<std::string> { return Fail(Code::kInvalidArgument, "no rule"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(result.error().message(), "no rule");
}

TEST(RunInChild, TheWorkHoldsNoPipeOfTheAgentButThoseThatItIsGiven) {
  const auto loop = sys::EventLoop::Create();
  sys::Pipe stream = sys::MakePipe().value();
  sys::Pipe proceed = sys::MakePipe().value();
  std::optional<Result<std::string>> result;
  const auto begun = RunInChild(
      **loop,
      [&]() -> Result<std::string> {
        char byte = 0;
        return ::read(proceed.read.get(), &byte, 1) == 1 ? "went on" : "has no pipe";
      },
      [&](Result<std::string> got) {
        result = std::move(got);
        (*loop)->Stop();
      },
      {proceed.read.get()});
  ASSERT_TRUE(begun);
  stream.write.Reset();
  EXPECT_TRUE(sys::WaitFor(stream.read.get(), POLLIN, Deadline::After(std::chrono::seconds(5))))
      << "its last writer has gone";
  ASSERT_EQ(::write(proceed.write.get(), "x", 1), 1);
  EXPECT_TRUE((*loop)->Run());
  EXPECT_EQ(result->value_or(""), "went on");
}

TEST(RunInChild, ADeathIsAnError) {
  const auto died = ResultOf([]() -> Result<std::string> { ::_exit(1); });
  EXPECT_EQ(died.error().code(), Code::kInternal);
  const auto flood = ResultOf([]() -> Result<std::string> { return std::string(5 << 20, 'x'); });
  EXPECT_EQ(flood.error().code(), Code::kOutOfRange);
}

}  // namespace
}  // namespace kata::guest
