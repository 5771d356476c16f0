// SPDX-License-Identifier: Apache-2.0
//
// What stands in a sandbox's record and beside it while its pod lives: no more than there is.
#include <sys/stat.h>

#include <atomic>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/record/record.h"
#include "host/record/size_report.h"
#include "host/record/timing.h"
#include "host/shim/testing/task_bed.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::shim {
namespace {

using ::testing::HasSubstr;

class TaskRecord : public testing::Test {
 protected:
  // A logging program that ends when its container's output does.
  void SetUp() override {
    ASSERT_TRUE(sys::WriteFile(logger_, "#!/bin/sh\nexec 5>&-\ncat <&3 >/dev/null\n"));
    ASSERT_EQ(::chmod(logger_.c_str(), S_IRWXU), 0);
  }

  std::string records() { return bed_.host().host().roots.records; }
  size_t LoggersInRecord() {
    const auto record = sandbox::LoadRecord(TaskBed::kPod, records()).value();
    size_t loggers = 0;
    for (const sandbox::ProcessEntry& process : record.processes) {
      if (process.role == sandbox::ProcessRole::kLogger) ++loggers;
    }
    return loggers;
  }
  Result<wellknown::Empty> ExecWithLogger(const std::string& id, const std::string& exec_id) {
    task::ExecProcessRequest request;
    request.set_id(id);
    request.set_exec_id(exec_id);
    request.set_stdout("binary://" + logger_);
    request.mutable_spec()->set_value(R"({"args": ["/true"], "cwd": "/"})");
    return bed_.Send<wellknown::Empty>("Exec", request).get();
  }

  const sys::TemporaryDir directory_{"kata-logger"};
  const std::string logger_ = directory_.path() + "/logger";
  TaskBed bed_;
};

TEST_F(TaskRecord, ALoggingProgramLeavesItWithItsExec) {
  bed_.StartPod();
  ASSERT_TRUE(ExecWithLogger("pod", "x"));
  EXPECT_EQ(LoggersInRecord(), 1u);
  EXPECT_FALSE(ExecWithLogger("pod", "x")) << "there is one";
  EXPECT_EQ(LoggersInRecord(), 1u);
  ASSERT_TRUE(bed_.Delete("pod", "x").get());
  EXPECT_EQ(LoggersInRecord(), 0u);
}

TEST_F(TaskRecord, ALoggingProgramLeavesItWithTheContainerOfItsExec) {
  bed_.StartPod();
  ASSERT_TRUE(bed_.Create("m").get());
  ASSERT_TRUE(ExecWithLogger("m", "x"));
  ASSERT_TRUE(ExecWithLogger("pod", "x"));
  ASSERT_TRUE(bed_.Delete("m").get());
  EXPECT_EQ(LoggersInRecord(), 1u);
}

TEST_F(TaskRecord, ALoggingProgramLeavesItWhenItsExecCannotBeStarted) {
  bed_.host().SetAgentScript(
      [](const sandbox::AgentCall& call, const std::function<void(Result<void>)>& go) {
        if (call.method == "ExecProcess") return go(Fail(Code::kInternal, "no"));
        go({});
      });
  bed_.StartPod();
  ASSERT_TRUE(ExecWithLogger("pod", "x"));
  ASSERT_FALSE(bed_.Start("pod", "x").get());
  EXPECT_EQ(LoggersInRecord(), 0u);
}

TEST_F(TaskRecord, TheTimingOfAStartGoesWithItsContainer) {
  bed_.StartPod();
  ASSERT_TRUE(bed_.Create("m").get());
  ASSERT_TRUE(bed_.Start("m").get());
  EXPECT_TRUE(sandbox::LoadTiming("m", records()));
  auto end = bed_.Wait("m");
  ASSERT_TRUE(bed_.Kill("m").get());
  ASSERT_TRUE(end.get());
  ASSERT_TRUE(bed_.Delete("m").get());
  const auto timing = sandbox::LoadTiming("m", records());
  ASSERT_FALSE(timing);
  EXPECT_EQ(timing.error().code(), Code::kNotFound);
  EXPECT_TRUE(sandbox::LoadTiming("pod", records()));
}

TEST_F(TaskRecord, AnUpdateThatTheMachineCannotFollowLeavesTheSizeReportAsItWas) {
  std::atomic<int> updates = 0;
  bed_.host().SetAgentScript([&](const sandbox::AgentCall& call, auto go) {
    if (call.method == "UpdateContainer") ++updates;
    go({});
  });
  bed_.StartPod();
  const auto before = sandbox::LoadSizeReport(TaskBed::kPod, records()).value();
  task::UpdateTaskRequest request;
  request.set_id(TaskBed::kPod);
  request.mutable_resources()->set_value(R"({"memory":{"limit":1152921504606846976}})");
  const auto refused = bed_.Send<wellknown::Empty>("Update", request).get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("the machine can have"));
  EXPECT_EQ(updates, 0);
  EXPECT_EQ(sandbox::LoadSizeReport(TaskBed::kPod, records()).value(), before);
}

}  // namespace
}  // namespace kata::shim
