// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/step.h"

#include <sys/eventfd.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::doctor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

sys::Command Shell(std::string script) {
  sys::Command command;
  command.argv = {"sh", "-c", std::move(script)};
  return command;
}

TEST(Step, GivesStatusOutputAndErrors) {
  const auto done =
      RunStep(Shell("echo out; echo err >&2; exit 3"), Deadline::After(seconds(30)), -1);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(done->status.ShellCode(), 3);
  EXPECT_EQ(done->output, "out\n");
  EXPECT_EQ(done->errors, "err\n");
}

TEST(Step, DoesNotWaitForProcessesThatKeepItsStreams) {
  const auto begin = Deadline::Clock::now();
  const auto done = RunStep(Shell("echo out; sleep 20 & exit 0"), Deadline::After(seconds(30)), -1);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output, "out\n");
  EXPECT_LT(Deadline::Clock::now() - begin, seconds(15));
}

TEST(Step, EndsAtItsDeadline) {
  const auto done = RunStep(Shell("exec sleep 60"), Deadline::After(milliseconds(200)), -1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(done.error().message(), HasSubstr("did not end within"));
}

TEST(Step, EndsWhenTheCallerWantsNoMore) {
  const sys::UniqueFd cancel(::eventfd(1, EFD_CLOEXEC));
  const auto done = RunStep(Shell("exec sleep 60"), Deadline::After(seconds(30)), cancel.get());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kCancelled);
}

TEST(Step, CallsMeanwhile) {
  int calls = 0;
  ASSERT_TRUE(RunStep(Shell("sleep 0.3"), Deadline::After(seconds(30)), -1, [&] { ++calls; }));
  EXPECT_GE(calls, 2);
}

TEST(Step, SaysWhichProgramIsNotThere) {
  sys::Command command;
  command.argv = {"/none/program"};
  const auto done = RunStep(command, Deadline::After(seconds(30)), -1);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("/none/program"));
}

}  // namespace
}  // namespace kata::cli::doctor
