// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/apart.h"

#include <unistd.h>

#include <optional>

#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"

namespace kata::guest {
namespace {

Result<std::string> ResultOf(const std::function<Result<std::string>()>& work) {
  const auto loop = sys::EventLoop::Create();
  std::optional<Result<std::string>> result;
  const auto begun = RunApart(**loop, work, [&](Result<std::string> got) {
    result = std::move(got);
    (*loop)->Stop();
  });
  EXPECT_TRUE(begun);
  EXPECT_TRUE((*loop)->Run());
  return *std::move(result);
}

TEST(RunApart, GivesWhatTheWorkReturned) {
  EXPECT_EQ(*ResultOf([]() -> Result<std::string> { return "text"; }), "text");
  EXPECT_EQ(*ResultOf([]() -> Result<std::string> { return std::string(); }), "");
  const std::string much(3 << 20, 'x');
  EXPECT_EQ(*ResultOf([&]() -> Result<std::string> { return much; }), much);
}

TEST(RunApart, ErrorsKeepTheirCodeAndWords) {
  const auto result =
      ResultOf([]() -> Result<std::string> { return Fail(Code::kInvalidArgument, "no rule"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(result.error().message(), "no rule");
}

TEST(RunApart, ADeathIsAnError) {
  const auto died = ResultOf([]() -> Result<std::string> { ::_exit(1); });
  EXPECT_EQ(died.error().code(), Code::kInternal);
  const auto flood = ResultOf([]() -> Result<std::string> { return std::string(5 << 20, 'x'); });
  EXPECT_EQ(flood.error().code(), Code::kOutOfRange);
}

}  // namespace
}  // namespace kata::guest
