// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/running_daemon.h"

#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/process.h"

namespace kata::cli::setup {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<std::string> kArguments = {"d", "--file=a", "--file", "b",       "-H",
                                             "c", "-He",      "-H=f",   "--filet", "x"};

TEST(FlagValues, TakesEveryFormOfAFlag) {
  EXPECT_THAT(FlagValues(kArguments, "file"), ElementsAre("a", "b"));
  EXPECT_THAT(FlagValues(kArguments, "host", 'H'), ElementsAre("c", "e", "f"));
  EXPECT_EQ(FlagValue(kArguments, "file"), "b");
  EXPECT_EQ(FlagValue(kArguments, "none"), std::nullopt);
  EXPECT_THAT(FlagValues({"d", "--file"}, "file"), IsEmpty());
}

TEST(FindDaemons, FindsAProcessByItsNameWithItsArgumentsAndPath) {
  sys::Command command;
  command.executable = "/bin/sleep";
  command.argv = {"/somewhere/kata-test-daemon", "1000"};
  command.env = {"PATH=/a:/b"};
  auto child = sys::ChildProcess::Spawn(command);
  ASSERT_TRUE(child);
  // The kernel shows the arguments a moment after the program has begun.
  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  auto found = FindDaemons("kata-test-daemon");
  while (found.empty() && !deadline.Passed()) found = FindDaemons("kata-test-daemon");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].pid, child->pid());
  EXPECT_THAT(found[0].argv, ElementsAre("/somewhere/kata-test-daemon", "1000"));
  EXPECT_EQ(found[0].path, "/a:/b");
  EXPECT_FALSE(found[0].program.empty());
}

TEST(RunProgram, KeepsOutputAndErrorsApart) {
  const auto result =
      RunProgram({"/bin/sh", "-c", "echo out; echo first >&2; echo last >&2; exit 3"},
                 Deadline::After(std::chrono::seconds(20)));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->LastLine(), "last");
}

TEST(RunProgram, EndsAtItsDeadline) {
  const auto result =
      RunProgram({"/bin/sleep", "1000"}, Deadline::After(std::chrono::milliseconds(50)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
}

TEST(IsInPath, LooksForAnExecutableInAbsoluteEntries) {
  EXPECT_TRUE(IsInPath("/nonexistent:/bin", "sh"));
  EXPECT_FALSE(IsInPath("/nonexistent::relative", "sh"));
}

TEST(NonEmptyLines, LeavesEmptyOnesOut) {
  EXPECT_THAT(NonEmptyLines("a\n\nb"), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace kata::cli::setup
