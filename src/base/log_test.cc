// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::log {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe(pipe_), 0);
    SetOutput(pipe_[1]);
  }
  void TearDown() override {
    SetOutput(STDERR_FILENO);
    SetLevel(Level::kInfo);
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  std::string Read() {
    char buffer[4096];
    const ssize_t n = ::read(pipe_[0], buffer, sizeof buffer);
    return std::string(buffer, n > 0 ? static_cast<size_t>(n) : 0);
  }
  int pipe_[2];
};

TEST_F(LogTest, WritesKeyValuePairs) {
  Info("vm started", {{"id", "ab12"}, {"cpus", 2}, {"path", "/a b"}});
  EXPECT_THAT(Read(), testing::MatchesRegex(
                          "time=\"....-..-..T..:..:......Z\" level=info msg=\"vm started\" "
                          "id=ab12 cpus=2 path=\"/a b\"\n"));
}

TEST_F(LogTest, AGuestCannotForgeALine) {
  Info("console", {{"text", "x\nlevel=error \"y\"\x1b"}});
  EXPECT_THAT(Read(), testing::HasSubstr("text=\"x\\nlevel=error \\\"y\\\"\\x1b\"\n"));
}

TEST_F(LogTest, DropsWhatIsBelowTheLevelAndWhatDoesNotFit) {
  Debug("hidden");
  const std::string big(60'000, 'x');
  Info(big);
  Info(big);
  Info(big);
  EXPECT_THAT(Read(), testing::HasSubstr("level=info"));
}

}  // namespace
}  // namespace kata::log
