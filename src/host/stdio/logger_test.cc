// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/logger.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::stdio {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LoggerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-logger-test-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }
  Uri Program(const std::string& script) {
    const std::string path = dir_ + "/logger";
    EXPECT_TRUE(sys::WriteFile(path, "#!/bin/sh\n" + script, 0755));
    return Uri{.kind = Uri::Kind::kBinary, .path = path, .arguments = {"out", dir_ + "/log"}};
  }
  std::string dir_;
};

TEST_F(LoggerTest, GetsBothStreamsAndTheContainersName) {
  auto logger =
      Logger::Start(Program("exec 5>&-\n"
                            "{ echo $CONTAINER_NAMESPACE/$CONTAINER_ID; cat <&3; cat <&4; } "
                            "> $2.tmp; mv $2.tmp $2\n"),
                    "ns", "c1", Deadline::After(seconds(30)));
  ASSERT_TRUE(logger) << logger.error().message();
  ASSERT_TRUE(sys::WriteAll(logger->TakeStdout().get(), "to stdout\n"));
  ASSERT_TRUE(sys::WriteAll(logger->TakeStderr().get(), "to stderr\n"));
  logger->Stop(seconds(30));
  EXPECT_EQ(sys::ReadFile(dir_ + "/log").value(), "ns/c1\nto stdout\nto stderr\n");
}

TEST_F(LoggerTest, SaysWhenTheProgramIsMissingOrNeverReady) {
  const Uri missing{.kind = Uri::Kind::kBinary, .path = "/nowhere/logger"};
  EXPECT_EQ(Logger::Start(missing, "ns", "c1", Deadline::Never()).error().code(), Code::kNotFound);
  const auto stuck =
      Logger::Start(Program("exec sleep 100\n"), "ns", "c1", Deadline::After(milliseconds(50)));
  EXPECT_EQ(stuck.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(stuck.error().message(), testing::HasSubstr("does not get ready"));
}

}  // namespace
}  // namespace kata::stdio
