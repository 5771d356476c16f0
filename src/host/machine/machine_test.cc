// SPDX-License-Identifier: Apache-2.0
#include "host/machine/machine.h"

#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/machine/testing/fake_host.h"
#include "sys/process.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

class MachineTest : public testing::Test {
 protected:
  MachineTest()
      : loop_(sys::EventLoop::Create().value()),
        thread_([this] { EXPECT_TRUE(loop_->Run()); }),
        host_(*loop_, directory_.path()),
        machine_("pod", *loop_, host_.host()) {
    machine_.Identify({.sandbox_id = "pod",
                       .owner = "/socket",
                       .on_end = [this] { ended_.set_value(); },
                       .on_network = [] {}});
    config_ = config::Load(config::LoadOptions::OfThisProcess(host_.WriteConfiguration())).value();
  }
  ~MachineTest() override {
    machine_.Stop();
    EXPECT_EQ(host_.vms(), 0u);
    EXPECT_THAT(host_.Leftovers(), testing::IsEmpty());
    loop_->Stop();
    thread_.join();
  }
  Result<void> Boot() { return machine_.Boot({}, {}, ""); }

  const sys::TemporaryDir directory_{"kata-machine"};
  const std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  FakeHost host_;
  Machine machine_;
  config::Loaded config_;
  std::promise<void> ended_;
};

TEST_F(MachineTest, OpensBootsAndEnds) {
  EXPECT_FALSE(machine_.is_open());
  ASSERT_TRUE(machine_.Open(config_));
  EXPECT_TRUE(machine_.is_open());
  EXPECT_FALSE(machine_.booted());
  ASSERT_TRUE(Boot());
  EXPECT_TRUE(machine_.booted());
  EXPECT_TRUE(machine_.alive());
  EXPECT_EQ(host_.vms(), 1u);
  machine_.Stop();
  EXPECT_FALSE(machine_.is_open());
  EXPECT_FALSE(machine_.alive());
  // And again.
  ASSERT_TRUE(machine_.Open(config_));
  ASSERT_TRUE(Boot());
  EXPECT_EQ(host_.vms(), 1u);
}

TEST_F(MachineTest, ThatEndsByItselfSaysSoAndKeepsWhatItHas) {
  ASSERT_TRUE(machine_.Open(config_));
  ASSERT_TRUE(Boot());
  host_.KillVms();
  ended_.get_future().wait();
  EXPECT_FALSE(machine_.alive());
  EXPECT_TRUE(machine_.booted());
  EXPECT_EQ(machine_.agent()->StartContainer("a").error().code(), Code::kUnavailable);
}

TEST_F(MachineTest, ThatNobodyWantsAnyMoreDoesNotBoot) {
  std::promise<void> starting;
  std::promise<void> go_on;
  host_.SetStartScript([&]() -> Result<void> {
    starting.set_value();
    go_on.get_future().wait();
    return {};
  });
  ASSERT_TRUE(machine_.Open(config_));
  auto booted = std::async(std::launch::async, [this] { return Boot(); });
  starting.get_future().wait();
  machine_.Abort();
  go_on.set_value();
  EXPECT_EQ(booted.get().error().code(), Code::kCancelled);
  EXPECT_FALSE(machine_.is_open());
}

TEST_F(MachineTest, WaitsForAnEarlierShimOfItsSandboxToRemoveItsThings) {
  sys::Command command;
  command.argv = {"/bin/sleep", "infinity"};
  auto earlier = sys::ChildProcess::Spawn(command).value();
  SandboxRecord record{.id = "pod", .owner = "/socket"};
  record.processes.push_back(DescribeProcess(earlier.pid(), ProcessRole::kShim).value());
  ASSERT_TRUE(SaveRecord(record, machine_.records()));
  auto opened = std::async(std::launch::async, [this] { return machine_.Open(config_); });
  // A machine that does not wait is ready by then, and loses its record.
  (void)opened.wait_for(std::chrono::milliseconds(200));
  ASSERT_TRUE(sys::RemoveTree(RecordDir("pod", machine_.records())));
  ASSERT_TRUE(opened.get());
  const auto now = LoadRecord("pod", machine_.records());
  ASSERT_TRUE(now) << now.error().message();
  EXPECT_EQ(now->processes.front().pid, ::getpid());
}

}  // namespace
}  // namespace kata::sandbox
