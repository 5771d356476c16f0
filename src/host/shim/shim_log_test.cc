// SPDX-License-Identifier: Apache-2.0
#include "host/shim/shim_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

class ShimLogTest : public testing::Test {
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

TEST_F(ShimLogTest, KeepsLinesForAReaderThatComesLater) {
  ASSERT_EQ(::mkfifo((bundle_ + "/log").c_str(), 0600), 0);
  const auto fd = OpenShimLog(bundle_);
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

TEST_F(ShimLogTest, WithoutAnyReaderItFillsAndDrops) {
  ASSERT_EQ(::mkfifo((bundle_ + "/log").c_str(), 0600), 0);
  const auto fd = OpenShimLog(bundle_);
  ASSERT_TRUE(fd);
  log::SetOutput(fd->get());
  for (int i = 0; i < 2000; ++i) log::Info(std::string(100, 'x'));
}

TEST_F(ShimLogTest, ABundleWithoutLogGetsNull) {
  const auto fd = OpenShimLog(bundle_);
  ASSERT_TRUE(fd);
  EXPECT_EQ(::write(fd->get(), "x", 1), 1);
  EXPECT_FALSE(sys::Exists(bundle_ + "/log"));
}

TEST_F(ShimLogTest, AFileKeepsTheLastLinesAndIsBounded) {
  ASSERT_TRUE(sys::WriteFile(bundle_ + "/log", ""));
  const auto fd = OpenShimLog(bundle_);
  ASSERT_TRUE(fd);
  log::SetOutput(fd->get(), 1000);
  for (int i = 0; i < 100; ++i) log::Info("line " + std::to_string(i));
  const std::string text = sys::ReadFile(bundle_ + "/log").value();
  EXPECT_LE(text.size(), 1000U);
  EXPECT_NE(text.find("msg=\"line 99\""), std::string::npos);
}

}  // namespace
}  // namespace kata::shim
