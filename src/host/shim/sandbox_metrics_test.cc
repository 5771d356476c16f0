// SPDX-License-Identifier: Apache-2.0
//
// "Metrics" of the shim's own service, on a fake host whose guest says what it likes.
#include "host/shim/sandbox_metrics.h"

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/machine/testing/fake_agent.h"
#include "host/shim/testing/task_bed.h"
#include "metrics/text.h"

namespace kata::shim {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SandboxMetricsTest : public testing::Test {
 protected:
  TaskBed::Answer<metrics::Metrics> Ask() {
    return bed_.SendTo<metrics::Metrics>("kata.cpp.v1.Sandbox", "Metrics",
                                         metrics::MetricsRequest(),
                                         Deadline::After(std::chrono::seconds(60)));
  }
  std::string Text() {
    const auto answer = Ask().get();
    EXPECT_TRUE(answer) << answer.error().message();
    return answer ? metrics::FormatText(*answer) : "";
  }
  void Say(const std::string& text) {
    const auto agent = bed_.host().agent();
    agent->RunOnLoop([&] { agent->SetMetrics(text); });
  }

  TaskBed bed_;
};

TEST_F(SandboxMetricsTest, BeforeTheMachineThereIsTheShim) {
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("kata_shim_threads "));
  EXPECT_THAT(text, HasSubstr("kata_shim_containers 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("kata_hypervisor_")));
}

TEST_F(SandboxMetricsTest, TellsOfTheHostAndOfTheGuestWhatItMay) {
  bed_.StartPod();
  Say("kata_guest_load{item=\"load1\"} 0.5\nkata_shim_fds 99999\nkata_guest_load{sandbox_id=\"x\"} "
      "1\n");
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("kata_guest_load{item=\"load1\"} 0.5\n"));
  EXPECT_THAT(text, Not(HasSubstr("99999")));
  EXPECT_THAT(text, HasSubstr("kata_shim_guest_samples_refused 2\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_guest_up 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_containers 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_hypervisor_threads "));
  EXPECT_THAT(text, HasSubstr("kata_shim_pod_overhead_memory_in_bytes "));
  EXPECT_THAT(text, Not(HasSubstr("kata_shim_pod_overhead_cpu "))) << "of which time?";
  EXPECT_THAT(
      text,
      HasSubstr("kata_shim_rpc_durations_histogram_milliseconds_count{action=\"create\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_agent_rpc_durations_histogram_milliseconds_count{action="
                              "\"grpc.StartContainerRequest\"} 1\n"));
  EXPECT_THAT(Text(), HasSubstr("kata_shim_pod_overhead_cpu "));
}

// A guest that never answers "GetMetrics".
class SilentGuestMetricsTest : public SandboxMetricsTest {
 protected:
  SilentGuestMetricsTest() {
    const auto held = std::make_shared<std::vector<std::function<void(Result<void>)>>>();
    bed_.host().SetAgentScript(
        [held](const sandbox::AgentCall& call, std::function<void(Result<void>)> go) {
          if (call.method != "GetMetrics") return go({});
          held->push_back(std::move(go));
        });
    bed_.StartPod();
  }
};

TEST_F(SilentGuestMetricsTest, CostsItsTimeAndLeavesWhatTheHostKnows) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = Text();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, SandboxMetrics::kGuestPatience);
  EXPECT_THAT(text, HasSubstr("kata_shim_guest_up 0\n"));
  EXPECT_THAT(text, HasSubstr("kata_hypervisor_threads "));
  EXPECT_THAT(text, Not(HasSubstr("kata_shim_pod_overhead_")));
}

TEST_F(SilentGuestMetricsTest, HoldsFewThreadsHoweverManyAsk) {
  std::vector<TaskBed::Answer<metrics::Metrics>> answers;
  for (int i = 0; i < 8; ++i) answers.push_back(Ask());
  int refused = 0;
  for (auto& answer : answers) {
    const auto got = answer.get();
    if (!got) {
      EXPECT_EQ(got.error().code(), Code::kResourceExhausted);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 8 - SandboxMetrics::kMostCalls);
}

}  // namespace
}  // namespace kata::shim
