// SPDX-License-Identifier: Apache-2.0
#include "host/shim/log_fifo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "sys/file.h"

namespace kata::shim {
namespace {

class LogFifoTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-log-XXXXXX";
    bundle_ = ::mkdtemp(name);
  }
  void TearDown() override {
    log::SetOutput(STDERR_FILENO);
    EXPECT_TRUE(sys::RemoveTree(bundle_));
  }
  std::string bundle_;
};

TEST_F(LogFifoTest, KeepsLinesForAReaderThatComesLater) {
  ASSERT_EQ(::mkfifo((bundle_ + "/log").c_str(), 0600), 0);
  const auto fd = OpenLogFifo(bundle_);
  ASSERT_TRUE(fd);
  log::SetOutput(fd->get());
  log::Info("hello");
  const auto reader = sys::Open(bundle_ + "/log", O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(reader);
  char buffer[256];
  const ssize_t n = ::read(reader->get(), buffer, sizeof buffer);
  ASSERT_GT(n, 0);
  EXPECT_NE(std::string(buffer, static_cast<size_t>(n)).find("msg=\"hello\""), std::string::npos);
}

TEST_F(LogFifoTest, WithoutAnyReaderItFillsAndDrops) {
  ASSERT_EQ(::mkfifo((bundle_ + "/log").c_str(), 0600), 0);
  const auto fd = OpenLogFifo(bundle_);
  ASSERT_TRUE(fd);
  log::SetOutput(fd->get());
  for (int i = 0; i < 2000; ++i) log::Info(std::string(100, 'x'));
}

TEST_F(LogFifoTest, ABundleWithoutFifoGetsNull) {
  EXPECT_TRUE(OpenLogFifo(bundle_));
  ASSERT_TRUE(sys::WriteFile(bundle_ + "/log", "file"));
  const auto fd = OpenLogFifo(bundle_);
  ASSERT_TRUE(fd);
  ASSERT_EQ(::write(fd->get(), "x", 1), 1);
  EXPECT_EQ(sys::ReadFile(bundle_ + "/log").value(), "file");
}

}  // namespace
}  // namespace kata::shim
