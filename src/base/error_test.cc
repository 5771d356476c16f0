// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "base/result.h"

namespace kata {
namespace {

TEST(Error, NamesOperationSubjectAndCause) {
  const Error error = Error::FromErrno("open", "/nowhere", ENOENT);
  EXPECT_EQ(error.message(), "open \"/nowhere\": No such file or directory");
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.error_number(), ENOENT);
}

TEST(Error, GrowsContextInFrontAndKeepsTheCode) {
  const Error error = Error(Code::kNotFound, "no such process").Within("kill \"c1\"");
  EXPECT_EQ(error.message(), "kill \"c1\": no such process");
  EXPECT_EQ(error.code(), Code::kNotFound);
}

Result<int> Half(int n) {
  if (n % 2 != 0) return Fail(Code::kInvalidArgument, "odd");
  return n / 2;
}

Result<int> Quarter(int n) {
  const int half = KATA_TRY(Half(n));
  return KATA_TRY_WITHIN("second half", Half(half));
}

TEST(Result, TryReturnsTheValueOrTheError) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(7).error().message(), "odd");
  EXPECT_EQ(Quarter(6).error().message(), "second half: odd");
}

}  // namespace
}  // namespace kata
