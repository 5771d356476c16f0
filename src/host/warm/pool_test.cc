// SPDX-License-Identifier: Apache-2.0
//
// The pool with shell scripts for shims.
#include "host/warm/pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::warm {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class PoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pool-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override {
    pool_.reset();
    EXPECT_TRUE(sys::RemoveTree(dir_));
  }

  void Make(const std::string& script, size_t wanted) {
    const std::string program = dir_ + "/shim";
    ASSERT_TRUE(sys::WriteFile(program, "#!/bin/sh\n" + script, 0755));
    pool_ = std::make_unique<Pool>(*loop_,
                                   PoolOptions{.program = program,
                                               .wanted = wanted,
                                               .spare_memory_mib = 0,
                                               .refill_after = milliseconds(1),
                                               .leave_to_others = milliseconds(0),
                                               .first_pause = milliseconds(1)},
                                   [this](const std::string& who) { gone_.push_back(who); });
    pool_->Fill();
  }

  // Runs the loop until `text` is in the status; false after ten seconds.
  bool RunUntil(const std::string& text) {
    bool found = false;
    const auto give_up = loop_->RunAfter(std::chrono::seconds(10), [&] { loop_->Stop(); });
    std::function<void()> look = [&] {
      found = pool_->Status().find(text) != std::string::npos;
      if (found) return loop_->Stop();
      loop_->RunAfter(milliseconds(2), look);
    };
    look();
    if (!found) {
      EXPECT_TRUE(loop_->Run());
    }
    loop_->Cancel(give_up);
    return found;
  }

  std::string dir_;
  std::unique_ptr<sys::EventLoop> loop_ = *sys::EventLoop::Create();
  std::vector<std::string> gone_;
  std::unique_ptr<Pool> pool_;
};

constexpr char kReady[] = "printf r >&3; head -c 1 <&3 >/dev/null; exit 0";

TEST_F(PoolTest, KeepsAsManyReadyAsWanted) {
  Make(kReady, 2);
  EXPECT_FALSE(pool_->Give(0)) << "none is ready yet";
  EXPECT_TRUE(RunUntil("\"ready\":2,\"preparing\":0")) << pool_->Status();
  EXPECT_THAT(pool_->Status(), HasSubstr("\"missed\":1"));
}

TEST_F(PoolTest, GivesAndRefills) {
  Make(kReady, 1);
  ASSERT_TRUE(RunUntil("\"ready\":1")) << pool_->Status();
  const auto any = sys::Open("/dev/null", O_RDONLY);
  EXPECT_TRUE(pool_->Give(any->get()));
  EXPECT_FALSE(pool_->Give(any->get()));
  EXPECT_TRUE(gone_.empty()) << "what was taken leaves nothing to the pool";
}

TEST_F(PoolTest, WhatEndsIsToldAndReplaced) {
  Make("exit 3", 1);
  EXPECT_TRUE(RunUntil("\"failed\":3")) << pool_->Status();
  EXPECT_GE(gone_.size(), 3u);
}

}  // namespace
}  // namespace kata::warm
