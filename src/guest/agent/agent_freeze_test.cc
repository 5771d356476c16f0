// SPDX-License-Identifier: Apache-2.0
//
// Needs root: containers that stand still for a save, asked as the host asks.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "guest/agent/agent_test_bed.h"
#include "guest/agent/sandbox.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"

namespace kata::guest {
namespace {

using testing::HasSubstr;

class FreezeTest : public AgentTestBed {
 protected:
  Result<void> Freeze(std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    FreezeRequest request;
    request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
    return Do("Freeze", request, kGuestService);
  }
  Result<void> Renew() {
    RenewRequest request;
    request.set_entropy(std::string(64, 'e'));
    return Do("Renew", request, kGuestService);
  }
  Result<void> Thaw() { return Do("Thaw", ThawRequest(), kGuestService); }
  // A call that is made again after each Thaw, as often as it is answered kAborted.
  template <class Response>
  Result<Response> CallAgain(std::string_view method,
                             const google::protobuf::MessageLite& request) {
    for (;;) {
      auto response = Call<Response>(method, request);
      if (response || response.error().code() != Code::kAborted) return response;
      ++aborted_;
      while (frozen_) ::usleep(500);
    }
  }
  static agent::ReadStreamRequest Output(const std::string& id) {
    agent::ReadStreamRequest request;
    request.set_container_id(id);
    request.set_len(64 << 10);
    return request;
  }
  // Rounds of Freeze and Thaw, until `enough`.
  void Rounds(int rounds, const std::atomic<bool>& over) {
    for (int i = 0; i < rounds && !over; ++i) {
      frozen_ = true;
      const auto frozen = Freeze();
      EXPECT_TRUE(frozen) << frozen.error().message();
      EXPECT_TRUE(Renew());
      EXPECT_TRUE(Thaw());
      frozen_ = false;
    }
  }

  static constexpr int kRounds = 200;
  std::atomic<bool> frozen_ = false;
  std::atomic<int> aborted_ = 0;
};

TEST_F(FreezeTest, AnswersEverybodyWhoWaitsBeforeItSaysThatAllIsFrozen) {
  Run("c1", {"sleep", "1000"});
  std::vector<std::string> order;
  Mutex mutex;
  const auto ask = [&](std::string_view method, const google::protobuf::MessageLite& request,
                       std::string_view service) {
    client_->CallAsync(service, method, request.SerializeAsString(),
                       Deadline::After(std::chrono::seconds(30)),
                       [&order, &mutex, method](const Result<std::string>& answer) {
                         const MutexLock lock(mutex);
                         const bool aborted = !answer && answer.error().code() == Code::kAborted;
                         order.push_back(aborted ? std::string(method) : "not aborted");
                       });
  };
  agent::WaitProcessRequest wait;
  wait.set_container_id("c1");
  ask("ReadStdout", Output("c1"), kAgentService);
  ask("ReadStderr", Output("c1"), kAgentService);
  ask("WaitProcess", wait, kAgentService);
  ask("GetOOMEvent", agent::GetOOMEventRequest(), kAgentService);
  ask("NextName", NextNameRequest(), kGuestService);
  ASSERT_TRUE(Freeze());
  {
    const MutexLock lock(mutex);
    EXPECT_THAT(order, testing::UnorderedElementsAre("ReadStdout", "ReadStderr", "WaitProcess",
                                                     "GetOOMEvent", "NextName"));
  }
  EXPECT_EQ(Call<agent::ReadStreamResponse>("ReadStdout", Output("c1")).error().code(),
            Code::kAborted);
  EXPECT_EQ(Write("c1", "", "x").error().code(), Code::kAborted);
}

TEST_F(FreezeTest, FrozenContainersAreNotThawedBeforeTheGuestWasRenewed) {
  Run("c1", {"sh", "-c", "while read x; do echo $x; done"});
  ASSERT_TRUE(Renew()) << "a renewal before the freeze counts for nothing";
  ASSERT_TRUE(Freeze());
  EXPECT_EQ(Freeze().error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Thaw().error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Exec("c1", "e1", {"true"}).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(CreateContainer("c2", {"true"}).error().code(), Code::kFailedPrecondition);
  agent::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  EXPECT_EQ(Do("ResumeContainer", resume).error().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(Renew());
  ASSERT_TRUE(Thaw());
  EXPECT_TRUE(Thaw()) << "once more does no harm";
  EXPECT_TRUE(Write("c1", "", "word\n"));
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "word\n");
  EXPECT_TRUE(Exec("c1", "e1", {"true"}));
  EXPECT_EQ(Wait("c1", "e1").value_or(-1), 0);
}

TEST_F(FreezeTest, AContainerThatWasPausedStaysSo) {
  Run("c1", {"sh", "-c", "while read x; do echo $x; done"});
  agent::PauseContainerRequest pause;
  pause.set_container_id("c1");
  ASSERT_TRUE(Do("PauseContainer", pause));
  ASSERT_TRUE(Freeze());
  ASSERT_TRUE(Renew());
  ASSERT_TRUE(Thaw());
  EXPECT_TRUE(Write("c1", "", "word\n"));
  EXPECT_EQ(Exec("c1", "e1", {"true"}).error().code(), Code::kFailedPrecondition);
  agent::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  ASSERT_TRUE(Do("ResumeContainer", resume));
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "word\n");
}

// A call that waits for processors that never come.
TEST_F(FreezeTest, WhatDoesNotComeToRestInTimeIsNamedAndNothingStaysFrozen) {
  Run("c1", {"sh", "-c", "while read x; do echo $x; done"});
  OnlineResourcesRequest online;
  online.set_cpus(1'000'000);
  client_->CallAsync(kGuestService, "OnlineResources", online.SerializeAsString(),
                     Deadline::After(std::chrono::seconds(30)), [](const Result<std::string>&) {});
  const auto frozen = Freeze(std::chrono::milliseconds(100));
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(frozen.error().message(), HasSubstr("1 other calls"));
  EXPECT_TRUE(Write("c1", "", "word\n"));
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "word\n");
}

TEST_F(FreezeTest, OutputIsNeitherLostNorRepeatedOverManyFreezes) {
  Run("c1", {"sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); done"});
  std::atomic<bool> over = false;
  std::string got;
  std::thread reader([&] {
    while (!over) {
      const auto chunk = CallAgain<agent::ReadStreamResponse>("ReadStdout", Output("c1"));
      ASSERT_TRUE(chunk) << chunk.error().message();
      got += chunk->data();
    }
  });
  Rounds(kRounds, over);
  over = true;
  reader.join();
  std::string expected;
  for (int i = 0; expected.size() < got.size(); ++i) expected += fmt::format("{}\n", i);
  EXPECT_TRUE(got == expected.substr(0, got.size())) << got.size() << " bytes";
  EXPECT_GT(got.size(), 0u);
  EXPECT_TRUE(Signal("c1", "", SIGKILL));
  EXPECT_EQ(Wait("c1").value_or(-1), 128 + SIGKILL);
}

TEST_F(FreezeTest, InputIsNeitherLostNorRepeatedOverManyFreezes) {
  Run("c1", {"sh", "-c", "while read x; do echo $x; done"});
  std::string sent;
  for (int i = 0; sent.size() < (300 << 10); ++i) sent += fmt::format("line {}\n", i);
  std::atomic<bool> over = false;
  std::thread writer([&] {
    constexpr size_t kChunk = 100'000;
    for (size_t at = 0; at < sent.size(); at += kChunk) {
      agent::WriteStreamRequest request;
      request.set_container_id("c1");
      request.set_data(sent.substr(at, kChunk));
      EXPECT_TRUE(CallAgain<agent::WriteStreamResponse>("WriteStdin", request));
    }
  });
  std::string got;
  std::thread reader([&] {
    while (got.size() < sent.size()) {
      const auto chunk = CallAgain<agent::ReadStreamResponse>("ReadStdout", Output("c1"));
      ASSERT_TRUE(chunk) << chunk.error().message();
      got += chunk->data();
    }
    over = true;
  });
  Rounds(kRounds, over);
  writer.join();
  reader.join();
  EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size() << " bytes";
  EXPECT_GT(aborted_, 0);
}

TEST_F(FreezeTest, ARenewalGivesAFrozenContainerAndTheSandboxOtherNames) {
  Run("c1", {"sh", "-c", "while read x; do hostname; done"});
  RenewRequest request;
  request.set_entropy(std::string(64, 'e'));
  request.set_hostname("renamed");
  ContainerName& name = *request.add_names();
  name.set_old("c1");
  name.set_now("c2");
  EXPECT_EQ(Do("Renew", request, kGuestService).error().code(), Code::kFailedPrecondition)
      << "nothing is frozen";
  ASSERT_TRUE(Freeze());
  name.set_now("../c2");
  EXPECT_EQ(Do("Renew", request, kGuestService).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(Thaw().error().code(), Code::kFailedPrecondition) << "that was no renewal";
  name.set_now("c2");
  const auto renewed = Do("Renew", request, kGuestService);
  ASSERT_TRUE(renewed) << renewed.error().message();
  ASSERT_TRUE(Thaw());
  EXPECT_EQ(Write("c1", "", "x\n").error().code(), Code::kNotFound);
  EXPECT_TRUE(Write("c2", "", "x\n"));
  EXPECT_EQ(StdoutUntil("c2", "", "\n"), "renamed\n");
  EXPECT_TRUE(RemoveContainer("c2"));
}

TEST_F(FreezeTest, ARenewalGivesContainersAnotherBootIdAsOftenAsItIsAsked) {
  const auto read = [&] {
    EXPECT_TRUE(Write("c1", "", "x\n"));
    return StdoutUntil("c1", "", "\n");
  };
  Run("c1", {"sh", "-c", "while read x; do cat /proc/sys/kernel/random/boot_id; done"});
  const std::string kernels = read();
  RenewRequest request;
  request.set_entropy(std::string(64, 'e'));
  for (const char* boot_id :
       {"01234567-89ab-4cde-8f01-23456789abcd", "f1234567-89ab-4cde-8f01-23456789abcd"}) {
    ASSERT_TRUE(Freeze());
    request.set_boot_id("../../etc/passwd");
    EXPECT_EQ(Do("Renew", request, kGuestService).error().code(), Code::kInvalidArgument);
    request.set_boot_id(boot_id);
    const auto renewed = Do("Renew", request, kGuestService);
    ASSERT_TRUE(renewed) << renewed.error().message();
    ASSERT_TRUE(Thaw());
    EXPECT_EQ(read(), std::string(boot_id) + "\n");
  }
  EXPECT_NE(read(), kernels);
  EXPECT_TRUE(RemoveContainer("c1"));
}

TEST_F(FreezeTest, OnlyFrozenContainersAreShownCopiesInPlaceOfFiles) {
  Run("c1", {"sh", "-c", "while read x; do cat /proc/sys/kernel/domainname; done"});
  ShowFilesRequest request;
  request.set_container_id("c1");
  ShowFilesRequest::File& file = *request.add_files();
  file.set_path("/proc/sys/kernel/domainname");
  agent::CopyFileRequest copy;
  copy.set_path(std::string(kSharedDir) + "/.copies/shown");
  copy.set_data("another\n");
  copy.set_file_size(8);
  copy.set_file_mode(S_IFREG | 0644);
  copy.set_dir_mode(0755);
  const auto copied = Do("CopyFile", copy);
  ASSERT_TRUE(copied) << copied.error().message();
  file.set_copy(copy.path());
  const auto show = [&] { return Do("ShowFiles", request, kGuestService); };
  EXPECT_EQ(show().error().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(Freeze());
  file.set_copy(std::string(kCopiesDir) + "/../../../etc/passwd");
  EXPECT_EQ(show().error().code(), Code::kInvalidArgument);
  file.set_copy(copy.path());
  const auto shown = show();
  ASSERT_TRUE(shown) << shown.error().message();
  file.set_path("/nothing/there");
  EXPECT_TRUE(show());
  ASSERT_TRUE(Renew());
  ASSERT_TRUE(Thaw());
  EXPECT_TRUE(Write("c1", "", "x\n"));
  EXPECT_THAT(StdoutUntil("c1", "", "another\n"), HasSubstr("another\n"));
  EXPECT_TRUE(RemoveContainer("c1"));
}

TEST_F(FreezeTest, OnlyFrozenContainersLoseConnections) {
  Run("c1", {"sleep", "1000"});
  const AbortConnectionsRequest request;
  EXPECT_EQ(Do("AbortConnections", request, kGuestService).error().code(),
            Code::kFailedPrecondition);
  ASSERT_TRUE(Freeze());
  const auto aborted = Do("AbortConnections", request, kGuestService);
  EXPECT_TRUE(aborted) << aborted.error().message();
  ASSERT_TRUE(Renew());
  ASSERT_TRUE(Thaw());
  EXPECT_TRUE(Signal("c1", "", SIGKILL));
}

TEST_F(FreezeTest, AnEndWhileAllIsFrozenIsToldAfterwards) {
  Run("c1", {"sleep", "1000"});
  auto waiter = std::async(std::launch::async, [&] {
    agent::WaitProcessRequest wait;
    wait.set_container_id("c1");
    return CallAgain<agent::WaitProcessResponse>("WaitProcess", wait);
  });
  frozen_ = true;
  ASSERT_TRUE(Freeze());
  EXPECT_TRUE(Signal("c1", "", SIGKILL));
  ASSERT_TRUE(Renew());
  ASSERT_TRUE(Thaw());
  frozen_ = false;
  const auto status = waiter.get();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->status(), 128 + SIGKILL);
}

}  // namespace
}  // namespace kata::guest
