// SPDX-License-Identifier: Apache-2.0
//
// containerd's sandbox API, and containers that join by the Task API, on a fake host.
#include "host/shim/sandbox_api.h"

#include <sys/stat.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/shim/testing/task_bed.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

namespace api = sandbox_api;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SandboxApiTest : public testing::Test {
 protected:
  template <class Message>
  static Code CodeOf(std::future<Result<Message>> answer) {
    const auto result = answer.get();
    return result ? Code::kOk : result.error().code();
  }

  TaskBed::Answer<api::CreateSandboxResponse> Create(api::CreateSandboxRequest request = {}) {
    return bed_.SendPod<api::CreateSandboxResponse>("CreateSandbox", std::move(request));
  }
  TaskBed::Answer<api::StartSandboxResponse> Start() {
    return bed_.SendPod<api::StartSandboxResponse>("StartSandbox", api::StartSandboxRequest());
  }
  TaskBed::Answer<api::StopSandboxResponse> Stop() {
    return bed_.SendPod<api::StopSandboxResponse>("StopSandbox", api::StopSandboxRequest());
  }
  TaskBed::Answer<api::WaitSandboxResponse> Wait() {
    return bed_.SendPod<api::WaitSandboxResponse>("WaitSandbox", api::WaitSandboxRequest(),
                                                  Deadline::Never());
  }
  TaskBed::Answer<api::SandboxStatusResponse> Status() {
    api::SandboxStatusRequest request;
    request.set_verbose(true);
    return bed_.SendPod<api::SandboxStatusResponse>("SandboxStatus", request);
  }
  TaskBed::Answer<api::PingResponse> Ping() {
    return bed_.SendPod<api::PingResponse>("PingSandbox", api::PingRequest());
  }
  TaskBed::Answer<api::ShutdownSandboxResponse> ShutDown() {
    return bed_.SendPod<api::ShutdownSandboxResponse>("ShutdownSandbox",
                                                      api::ShutdownSandboxRequest());
  }
  void StartPod() {
    ASSERT_TRUE(Create().get());
    const auto started = Start().get();
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_GT(started->pid(), 0u);
    EXPECT_GT(started->created_at().seconds(), 0);
  }

  TaskBed bed_;
};

TEST_F(SandboxApiTest, APodLivesFromItsCreationToItsShutdown) {
  ASSERT_TRUE(Create().get());
  EXPECT_EQ(Status().get()->state(), "SANDBOX_NOTREADY");
  EXPECT_EQ(bed_.host().vms(), 0u);
  ASSERT_TRUE(Start().get());
  EXPECT_EQ(bed_.host().vms(), 1u);
  const auto status = Status().get();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state(), "SANDBOX_READY");
  EXPECT_GT(status->pid(), 0u);
  EXPECT_GT(status->created_at().seconds(), 0);
  EXPECT_EQ(status->info().at("pid"), std::to_string(status->pid()));
  EXPECT_EQ(status->info().count("networkSandboxPath"), 0u);
  EXPECT_TRUE(Ping().get());
  const auto platform =
      bed_.SendPod<api::PlatformResponse>("Platform", api::PlatformRequest()).get();
  ASSERT_TRUE(platform);
  EXPECT_EQ(platform->platform().os(), "linux");
  EXPECT_NE(platform->platform().architecture(), "");
  auto waiting = Wait();
  auto waiting_too = Wait();
  ASSERT_TRUE(Stop().get());
  EXPECT_EQ(waiting.get()->exit_status(), 0u);
  EXPECT_EQ(waiting_too.get()->exit_status(), 0u);
  EXPECT_EQ(bed_.host().vms(), 0u);
  EXPECT_EQ(Status().get()->state(), "SANDBOX_NOTREADY");
  EXPECT_GT(Status().get()->exited_at().seconds(), 0);
  EXPECT_EQ(CodeOf(Ping()), Code::kFailedPrecondition);
  EXPECT_TRUE(Stop().get()) << "it is stopped";
  EXPECT_TRUE(Wait().get()) << "it has exited";
  EXPECT_FALSE(bed_.ended());
  ASSERT_TRUE(ShutDown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed_.ended(); }));
}

TEST_F(SandboxApiTest, WhatComesTooEarlyIsRefused) {
  EXPECT_EQ(CodeOf(Start()), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf(Stop()), Code::kNotFound);
  EXPECT_EQ(CodeOf(Wait()), Code::kNotFound);
  EXPECT_EQ(CodeOf(Status()), Code::kNotFound);
  ASSERT_TRUE(Create().get());
  EXPECT_EQ(CodeOf(bed_.Create("m")), Code::kFailedPrecondition) << "it is not started";
  EXPECT_EQ(CodeOf(Ping()), Code::kFailedPrecondition);
}

TEST_F(SandboxApiTest, ThereIsOnePod) {
  ASSERT_TRUE(Create().get());
  api::CreateSandboxRequest other;
  other.set_sandbox_id("other");
  EXPECT_EQ(
      CodeOf(bed_.SendTo<api::CreateSandboxResponse>(TaskBed::kSandboxApi, "CreateSandbox", other,
                                                     Deadline::After(std::chrono::seconds(60)))),
      Code::kAlreadyExists);
  EXPECT_EQ(CodeOf(Create()), Code::kAlreadyExists);
  api::StartSandboxRequest start;
  start.set_sandbox_id("other");
  EXPECT_EQ(
      CodeOf(bed_.SendTo<api::StartSandboxResponse>(TaskBed::kSandboxApi, "StartSandbox", start,
                                                    Deadline::After(std::chrono::seconds(60)))),
      Code::kNotFound);
  ASSERT_TRUE(Start().get());
  EXPECT_EQ(CodeOf(Start()), Code::kFailedPrecondition);
  EXPECT_EQ(bed_.host().vms(), 1u);
}

TEST_F(SandboxApiTest, APodDoesNotComeToContainersThatAreThere) {
  bed_.StartPod();
  EXPECT_EQ(CodeOf(Create()), Code::kFailedPrecondition);
  EXPECT_EQ(CodeOf(Status()), Code::kNotFound);
  ASSERT_TRUE(bed_.Kill("pod").get());
  ASSERT_TRUE(bed_.Wait("pod").get());
  ASSERT_TRUE(bed_.Delete("pod").get());
  EXPECT_TRUE(bed_.Shutdown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed_.ended(); }));
}

TEST_F(SandboxApiTest, ContainersComeAndGoAndThePodStays) {
  StartPod();
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(bed_.Create(id).get());
    ASSERT_TRUE(bed_.Start(id).get());
  }
  ASSERT_TRUE(bed_.Kill("a").get());
  EXPECT_EQ(bed_.Wait("a").get()->exit_status(), 137u);
  ASSERT_TRUE(bed_.Delete("a").get());
  EXPECT_TRUE(bed_.Shutdown().get()) << "as containerd 2.4 does after each";
  EXPECT_TRUE(bed_.Shutdown(true).get());
  EXPECT_THAT(bed_.host().agent()->Running(), ElementsAre("b"));
  ASSERT_TRUE(bed_.Kill("b").get());
  ASSERT_TRUE(bed_.Wait("b").get());
  ASSERT_TRUE(bed_.Delete("b").get());
  EXPECT_EQ(Status().get()->state(), "SANDBOX_READY");
  EXPECT_EQ(bed_.host().vms(), 1u);
  EXPECT_FALSE(bed_.ended());
  ASSERT_TRUE(bed_.Create("c").get()) << "in the same machine";
}

TEST_F(SandboxApiTest, AStopEndsContainersThatCanBeDeletedAfterIt) {
  StartPod();
  ASSERT_TRUE(bed_.Create("a").get());
  ASSERT_TRUE(bed_.Start("a").get());
  auto waiting = bed_.Wait("a");
  ASSERT_TRUE(Stop().get());
  EXPECT_EQ(waiting.get()->exit_status(), 137u);
  EXPECT_EQ(bed_.State("a").get()->status(), task::STOPPED);
  EXPECT_EQ(CodeOf(bed_.Create("b")), Code::kFailedPrecondition);
  EXPECT_EQ(bed_.Delete("a").get()->exit_status(), 137u);
  EXPECT_THAT(bed_.host().Leftovers(), IsEmpty());
}

TEST_F(SandboxApiTest, AMachineThatDiesIsTheEndOfThePod) {
  StartPod();
  ASSERT_TRUE(bed_.Create("a").get());
  ASSERT_TRUE(bed_.Start("a").get());
  auto waiting = Wait();
  auto waiting_for_a = bed_.Wait("a");
  bed_.host().KillVms();
  EXPECT_EQ(waiting.get()->exit_status(), 137u);
  EXPECT_EQ(waiting_for_a.get()->exit_status(), 137u);
  EXPECT_EQ(Status().get()->state(), "SANDBOX_NOTREADY");
  EXPECT_EQ(CodeOf(Ping()), Code::kFailedPrecondition);
  EXPECT_FALSE(bed_.Create("b").get());
  EXPECT_EQ(CodeOf(Start()), Code::kFailedPrecondition);
  ASSERT_TRUE(bed_.Delete("a").get());
  ASSERT_TRUE(Stop().get());
  EXPECT_THAT(bed_.host().Leftovers(), IsEmpty());
}

TEST_F(SandboxApiTest, AStartThatFailsLeavesNothing) {
  bed_.host().SetStartScript([]() -> Result<void> { return Fail(Code::kInternal, "no machine"); });
  ASSERT_TRUE(Create().get());
  auto waiting = Wait();
  const auto started = Start().get();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message(), testing::HasSubstr("no machine"));
  EXPECT_NE(waiting.get()->exit_status(), 0u);
  EXPECT_EQ(Status().get()->state(), "SANDBOX_NOTREADY");
  EXPECT_THAT(bed_.host().Leftovers(), IsEmpty());
  ASSERT_TRUE(ShutDown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed_.ended(); }));
}

TEST_F(SandboxApiTest, ACreationThatFailsCanBeRepeated) {
  api::CreateSandboxRequest request;
  request.set_netns_path("/nowhere/at/all");
  EXPECT_EQ(CodeOf(Create(request)), Code::kNotFound);
  EXPECT_THAT(bed_.host().Leftovers(), IsEmpty());
  request.clear_netns_path();
  request.mutable_annotations()->insert(
      {"io.katacontainers.config.hypervisor.default_vcpus", "many"});
  EXPECT_EQ(CodeOf(Create(request)), Code::kPermissionDenied);
  StartPod();
}

TEST_F(SandboxApiTest, APathThatIsNoNamespaceIsAnEmptyNetwork) {
  api::CreateSandboxRequest request;
  request.set_netns_path(bed_.socket());
  ASSERT_TRUE(Create(request).get());
  ASSERT_TRUE(Start().get());
  EXPECT_EQ(Status().get()->info().at("networkSandboxPath"), bed_.socket());
}

TEST_F(SandboxApiTest, AStopComesInBetweenAStart) {
  std::promise<void> begun;
  std::promise<void> go;
  auto going = go.get_future().share();
  bed_.host().SetStartScript([&begun, going]() -> Result<void> {
    begun.set_value();
    going.wait();
    return {};
  });
  ASSERT_TRUE(Create().get());
  auto starting = Start();
  begun.get_future().wait();
  auto stopping = Stop();
  go.set_value();
  EXPECT_FALSE(starting.get());
  ASSERT_TRUE(stopping.get());
  EXPECT_EQ(Status().get()->state(), "SANDBOX_NOTREADY");
  EXPECT_THAT(bed_.host().Leftovers(), IsEmpty());
}

TEST_F(SandboxApiTest, AShutdownEndsWhateverThereIs) {
  StartPod();
  ASSERT_TRUE(bed_.Create("a").get());
  ASSERT_TRUE(bed_.Start("a").get());
  auto waiting = Wait();
  ASSERT_TRUE(ShutDown().get());
  EXPECT_TRUE(waiting.get());
  EXPECT_TRUE(WaitUntil([&] { return bed_.ended(); }));
  EXPECT_EQ(bed_.host().vms(), 0u);
}

TEST_F(SandboxApiTest, AShimThatHasMadeNoPodIsShutDownAsWell) {
  ASSERT_TRUE(ShutDown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed_.ended(); }));
}

TEST_F(SandboxApiTest, ContainerdFindsThePodAgain) {
  StartPod();
  task::ConnectRequest request;
  request.set_id(TaskBed::kPod);
  const auto found = bed_.Send<task::ConnectResponse>("Connect", request).get();
  ASSERT_TRUE(found);
  EXPECT_GT(found->task_pid(), 0u);
  request.set_id("stranger");
  EXPECT_EQ(CodeOf(bed_.Send<task::ConnectResponse>("Connect", request)), Code::kNotFound);
}

}  // namespace
}  // namespace kata::shim
