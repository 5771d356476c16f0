// SPDX-License-Identifier: Apache-2.0
//
// Calls that overlap, callers that give up, machines that die: the Task API on a fake host.
#include "host/shim/task_service.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <future>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "host/shim/testing/task_bed.h"
#include "host/stdio/stand_in_channel.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Holds the guest's calls of one method about one container or exec until they are let go.
class Held {
 public:
  // A later call of `released_by` about the same container lets go of what waits.
  Held(TaskBed& bed, std::string method, std::string container_id, std::string released_by = "")
      : bed_(bed), state_(new State{.host = bed.host(), .released_by = std::move(released_by)}) {
    bed_.host().SetAgentScript(
        [state = state_, method = std::move(method), container_id = std::move(container_id)](
            const sandbox::AgentCall& call, std::function<void(Result<void>)> go) {
          {
            const MutexLock lock(state->mutex);
            if (call.method == method && call.container_id == container_id && !state->open) {
              state->held.push_back(std::move(go));
              return;
            }
          }
          if (call.method == state->released_by && call.container_id == container_id) {
            state->Release();
          }
          go({});
        });
  }

  bool Any() const { return count() > 0; }
  size_t count() const {
    const MutexLock lock(state_->mutex);
    return state_->held.size();
  }
  // How many disks the machine had then.
  size_t disks_at_release() const { return state_->disks; }
  // What waits happens now, on the loop's thread, and nothing is held any more.
  void LetGo() const {
    bed_.host().agent()->RunOnLoop([this] { state_->Release(); });
  }

 private:
  struct State {
    sandbox::FakeHost& host;
    const std::string released_by;
    Mutex mutex;
    bool open KATA_GUARDED_BY(mutex) = false;
    std::vector<std::function<void(Result<void>)>> held KATA_GUARDED_BY(mutex);
    std::atomic<size_t> disks = 0;

    void Release() {
      std::vector<std::function<void(Result<void>)>> released;
      {
        const MutexLock lock(mutex);
        if (std::exchange(open, true)) return;
        released.swap(held);
      }
      disks = host.disks().size();
      for (auto& go : released) go({});
    }
  };
  TaskBed& bed_;
  const std::shared_ptr<State> state_;
};

Deadline Soon() { return Deadline::After(std::chrono::milliseconds(50)); }

template <class Message>
std::string TextOf(const Result<Message>& result) {
  return result ? "" : result.error().message();
}

TEST(TaskService, APodLivesFromItsFirstCreateToItsLastDelete) {
  TaskBed bed;
  bed.StartPod();
  const auto waiting = bed.Wait("pod");
  ASSERT_TRUE(bed.Create("m").get());
  ASSERT_TRUE(bed.Start("m").get());
  ASSERT_TRUE(bed.Exec("m", "x").get());
  ASSERT_TRUE(bed.Start("m", "x").get());
  EXPECT_THAT(bed.host().agent()->Running(), UnorderedElementsAre("pod", "m", "m/x"));
  EXPECT_EQ(bed.host().disks().size(), 2u);
  auto end_of_x = bed.Wait("m", "x");
  bed.host().agent()->End("m", "x", 3);
  EXPECT_EQ(end_of_x.get().value().exit_status(), 3u);
  ASSERT_TRUE(bed.Delete("m", "x").get());
  auto end_of_m = bed.Wait("m");
  ASSERT_TRUE(bed.Kill("m").get());
  EXPECT_EQ(end_of_m.get().value().exit_status(), 137u);
  ASSERT_TRUE(bed.Delete("m").get());
  EXPECT_THAT(bed.host().agent()->Containers(), ElementsAre("pod"));
  EXPECT_EQ(bed.host().disks().size(), 1u);
  ASSERT_TRUE(bed.Shutdown().get());
  EXPECT_FALSE(bed.ended());
  auto end_of_pod = bed.Wait("pod");
  ASSERT_TRUE(bed.Kill("pod").get());
  ASSERT_TRUE(end_of_pod.get());
  ASSERT_TRUE(bed.Delete("pod").get());
  EXPECT_EQ(bed.host().vms(), 0u);
  ASSERT_TRUE(bed.Shutdown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed.ended(); }));
  EXPECT_TRUE(WaitUntil([&] { return bed.events().Has("delete pod"); }));
  EXPECT_THAT(bed.events().all(), ElementsAre("create pod", "start pod", "create m", "start m",
                                              "add m/x", "start m/x", "exit m/x", "delete m/x",
                                              "exit m", "delete m", "exit pod", "delete pod"));
}

TEST(TaskService, CallersOfWaitThatHaveGoneUnheardRefuseNobodyElse) {
  constexpr size_t kWaits = 2 * ttrpc::Limits().max_calls;
  TaskBed bed;
  bed.StartPod();
  std::vector<TaskBed::Answer<task::WaitResponse>> waits;
  waits.reserve(kWaits);
  while (waits.size() < kWaits) waits.push_back(bed.Wait("pod"));
  const auto killed = bed.Kill("pod").get();
  EXPECT_TRUE(killed) << TextOf(killed);
  for (auto& wait : waits) EXPECT_TRUE(wait.get());
}

TEST(TaskService, WhatACallerOfCreateNoLongerWantsIsUndone) {
  TaskBed bed;
  const Held held(bed, "CreateContainer", "m");
  bed.StartPod();
  EXPECT_EQ(bed.Create("m", Soon()).get().error().code(), Code::kDeadlineExceeded);
  // As containerd does then.
  auto deleted = bed.Delete("m");
  ASSERT_TRUE(bed.Shutdown().get());
  ASSERT_TRUE(WaitUntil([&] { return held.Any(); }));
  held.LetGo();
  EXPECT_EQ(deleted.get().error().code(), Code::kNotFound);
  EXPECT_TRUE(WaitUntil([&] { return bed.host().agent()->Containers().size() == 1; }));
  EXPECT_EQ(bed.host().disks().size(), 1u);
  EXPECT_FALSE(bed.events().Has("create m"));
  EXPECT_FALSE(bed.ended());
  ASSERT_TRUE(bed.Kill("pod").get());
  ASSERT_TRUE(bed.Wait("pod").get());
  ASSERT_TRUE(bed.Delete("pod").get());
  EXPECT_EQ(bed.host().vms(), 0u) << "the pod's last container has gone, and its machine runs on";
}

TEST(TaskService, ACreateWhoseCallerHasGoneAwayIsUndone) {
  TaskBed bed;
  const Held held(bed, "CreateContainer", "m");
  bed.StartPod();
  auto created = bed.Create("m");
  ASSERT_TRUE(WaitUntil([&] { return held.Any(); }));
  bed.Disconnect();
  held.LetGo();
  bed.Connect();
  EXPECT_TRUE(WaitUntil(
      [&] { return TextOf(bed.State("m").get()).find("no container") != std::string::npos; }));
  EXPECT_THAT(bed.host().agent()->Containers(), ElementsAre("pod"));
}

TEST(TaskService, DeletingTheOnlyContainerEndsItsBoot) {
  TaskBed bed;
  const Held held(bed, "Check", "");
  auto created = bed.Create("pod");
  ASSERT_TRUE(WaitUntil([&] { return held.Any(); }));
  // The guest never answers.
  EXPECT_EQ(bed.Delete("pod").get().error().code(), Code::kNotFound);
  EXPECT_FALSE(created.get());
  EXPECT_EQ(bed.host().vms(), 0u);
}

TEST(TaskService, AnExecIsNotDeletedWhileItStarts) {
  TaskBed bed;
  const Held held(bed, "ExecProcess", "pod");
  bed.StartPod();
  ASSERT_TRUE(bed.Exec("pod", "x").get());
  auto started = bed.Start("pod", "x");
  ASSERT_TRUE(WaitUntil([&] { return held.Any(); }));
  auto deleted = bed.Delete("pod", "x");
  // Answered after Delete has been taken up.
  ASSERT_TRUE(bed.State("pod").get());
  held.LetGo();
  ASSERT_TRUE(started.get());
  EXPECT_EQ(deleted.get().error().code(), Code::kFailedPrecondition)
      << "the guest runs a program that nobody can reach";
  EXPECT_THAT(bed.host().agent()->Running(), UnorderedElementsAre("pod", "pod/x"));
  auto ended = bed.Wait("pod", "x");
  ASSERT_TRUE(bed.Kill("pod", "x").get());
  ASSERT_TRUE(ended.get());
  ASSERT_TRUE(bed.Delete("pod", "x").get());
  EXPECT_TRUE(WaitUntil([&] { return bed.events().Has("delete pod/x"); }));
  EXPECT_THAT(bed.events().all(), ElementsAre("create pod", "start pod", "add pod/x", "start pod/x",
                                              "exit pod/x", "delete pod/x"));
}

TEST(TaskService, ACreateThatTookTooLongLeavesTheGuestBeforeItsDiskDoes) {
  TaskBed bed;
  constexpr char kOneSecond[] =
      R"(, "io.katacontainers.config.runtime.create_container_timeout": "1")";
  const Held held(bed, "CreateContainer", "m", "RemoveContainer");
  bed.StartPod(kOneSecond);
  ASSERT_FALSE(bed.Create("m").get());
  // Where the guest was never asked to, it goes on with what it has.
  held.LetGo();
  EXPECT_EQ(held.disks_at_release(), 2u) << "the guest's disk has been taken away";
  EXPECT_THAT(bed.host().agent()->Containers(), ElementsAre("pod"));
  EXPECT_EQ(bed.host().disks().size(), 1u);
}

TEST(TaskService, TheEndOfAMachineIsToldHoweverSoonItComesAfterACreate) {
  constexpr int kRounds = 30;
  int created_rounds = 0;
  for (int round = 0; round < kRounds; ++round) {
    TaskBed bed;
    bed.host().SetAgentScript(
        [&bed](const sandbox::AgentCall& call, const std::function<void(Result<void>)>& go) {
          go({});
          if (call.method != "CreateContainer") return;
          // The answer and the end are there at once.
          bed.host().KillVms();
          bed.host().AwaitDeaths();
        });
    const auto created = bed.Create("pod").get();
    if (!created) continue;
    ++created_rounds;
    auto waiting = bed.Wait("pod");
    ASSERT_EQ(waiting.wait_for(std::chrono::seconds(10)), std::future_status::ready)
        << "round " << round;
    EXPECT_EQ(waiting.get().value().exit_status(), 137u);
    ASSERT_TRUE(bed.Delete("pod").get());
    ASSERT_TRUE(WaitUntil([&] { return bed.events().Has("delete pod"); }));
    ASSERT_THAT(bed.events().all(), ElementsAre("create pod", "exit pod", "delete pod"));
  }
  EXPECT_GT(created_rounds, 0);
}

TEST(TaskService, WhoseMachineEndsTellsTheEndOfExecsBeforeTheContainers) {
  TaskBed bed;
  bed.StartPod();
  for (const char* exec : {"x", "y"}) {
    ASSERT_TRUE(bed.Exec("pod", exec).get());
    ASSERT_TRUE(bed.Start("pod", exec).get());
  }
  bed.host().KillVms();
  ASSERT_TRUE(WaitUntil([&] { return bed.events().Has("exit pod"); }));
  EXPECT_THAT(bed.events().all(),
              ElementsAre("create pod", "start pod", "add pod/x", "start pod/x", "add pod/y",
                          "start pod/y", "exit pod/x", "exit pod/y", "exit pod"));
}

TEST(TaskService, ACreateThatComesAsTheMachineEndsGetsOneOfItsOwn) {
  TaskBed bed;
  bed.StartPod();
  ASSERT_TRUE(bed.Kill("pod").get());
  ASSERT_TRUE(bed.Wait("pod").get());
  std::promise<void> stopping;
  std::promise<void> go_on;
  bed.host().SetStopScript([&, go_on = go_on.get_future().share()] {
    stopping.set_value();
    go_on.wait();
  });
  auto deleted = bed.Delete("pod");
  stopping.get_future().wait();
  bed.host().SetStopScript({});
  auto created = bed.Create("pod");
  ASSERT_TRUE(WaitUntil([&] {
    const auto state = bed.State("pod").get();
    return state || state.error().code() == Code::kFailedPrecondition;
  }));
  go_on.set_value();
  ASSERT_TRUE(deleted.get());
  const auto answer = created.get();
  ASSERT_TRUE(answer) << TextOf(answer);
  const auto started = bed.Start("pod").get();
  ASSERT_TRUE(started) << TextOf(started);
  EXPECT_EQ(bed.host().vms(), 1u);
  EXPECT_EQ(bed.host().Leftovers().size(), 2u) << "the new machine's directory and record";
}

TEST(TaskService, AShutdownThatComesWhileAMachineStartsLeavesNothing) {
  TaskBed bed;
  std::promise<void> starting;
  std::promise<void> go_on;
  bed.host().SetStartScript([&, go_on = go_on.get_future().share()]() -> Result<void> {
    starting.set_value();
    go_on.wait();
    return {};
  });
  auto created = bed.Create("pod");
  starting.get_future().wait();
  auto shut_down = bed.Shutdown(true);
  // A second one ends when the first has.
  auto again = bed.Shutdown(true);
  ASSERT_TRUE(WaitUntil([&] { return !sys::Exists(bed.socket()); }));
  go_on.set_value();
  EXPECT_FALSE(created.get());
  ASSERT_TRUE(shut_down.get());
  ASSERT_TRUE(again.get());
  EXPECT_EQ(bed.host().vms(), 0u);
  EXPECT_THAT(bed.host().Leftovers(), IsEmpty());
  EXPECT_FALSE(bed.Create("pod").get());
  EXPECT_TRUE(WaitUntil([&] { return bed.ended(); }));
}

// What kata-runtime leaves on the host for an exec.
class StandIn {
 public:
  StandIn(TaskBed& bed, const std::string& container_id, const std::string& exec_id) {
    const std::string path = fmt::format("{}-{}", bed.socket(), exec_id);
    const sys::UniqueFd listener = sys::ListenUnix(path).value();
    task::ExecProcessRequest request;
    request.set_id(container_id);
    request.set_exec_id(exec_id);
    request.set_stdin("fds://" + path);
    request.mutable_spec()->set_value(R"({"args": ["/true"], "cwd": "/"})");
    auto made = bed.Send<wellknown::Empty>("Exec", request);
    EXPECT_TRUE(sys::WaitFor(listener.get(), POLLIN, Deadline::After(std::chrono::seconds(20))));
    line_.Reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const sys::UniqueFd null = sys::Open("/dev/null", O_RDWR).value();
    const int streams[] = {null.get(), null.get(), null.get()};
    Greet(streams);
    EXPECT_TRUE(made.get());
  }
  void Signal(uint16_t number) const {
    const stdio::StandInMessage message{.kind = stdio::StandInMessage::kSignal, .first = number};
    ASSERT_TRUE(
        sys::WriteAll(line_.get(), {reinterpret_cast<const char*>(&message), sizeof message}));
  }

 private:
  void Greet(std::span<const int> streams) const {
    char count = static_cast<char>(streams.size());
    iovec part{.iov_base = &count, .iov_len = 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 3)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(streams.size_bytes());
    std::memcpy(CMSG_DATA(header), streams.data(), streams.size_bytes());
    EXPECT_EQ(::sendmsg(line_.get(), &message, MSG_NOSIGNAL), 1);
  }

  sys::UniqueFd line_;
};

TEST(TaskService, KillIsAnsweredWhileSignalsWaitForStartsThatHang) {
  constexpr size_t kAsManyAsKillHasThreads = 64;
  TaskBed bed(kAsManyAsKillHasThreads + 4);
  const Held held(bed, "ExecProcess", "pod");
  bed.StartPod();
  ASSERT_TRUE(bed.Create("m").get());
  ASSERT_TRUE(bed.Start("m").get());
  std::vector<std::string> execs;
  std::vector<StandIn> stand_ins;
  std::vector<TaskBed::Answer<task::StartResponse>> started;
  std::vector<TaskBed::Answer<task::WaitResponse>> ended;
  for (size_t i = 0; i < kAsManyAsKillHasThreads; ++i) {
    execs.push_back(fmt::format("x{}", i));
    stand_ins.emplace_back(bed, "pod", execs.back());
    started.push_back(bed.Start("pod", execs.back()));
    ended.push_back(bed.Wait("pod", execs.back()));
  }
  ASSERT_TRUE(WaitUntil([&] { return held.count() == kAsManyAsKillHasThreads; }));
  for (const StandIn& stand_in : stand_ins) stand_in.Signal(SIGTERM);
  // The loop has read the signals before it reads this.
  ASSERT_TRUE(bed.State("pod").get());
  auto killed = bed.Kill("m");
  EXPECT_EQ(killed.wait_for(std::chrono::seconds(10)), std::future_status::ready)
      << "every thread of Kill waits for a start";
  held.LetGo();
  EXPECT_TRUE(killed.get());
  for (auto& start : started) EXPECT_TRUE(start.get());
  // The signals have not been lost.
  for (auto& end : ended) EXPECT_EQ(end.get().value().exit_status(), 128u + SIGTERM);
}

TEST(TaskService, ACreateThatWaitsForTheBootOfAnotherGivesUpAtItsDeadline) {
  TaskBed bed(2);
  const Held held(bed, "Check", "");
  auto booting = bed.Create("pod");
  ASSERT_TRUE(WaitUntil([&] { return held.Any(); }));
  // What it is told depends on whose clock is first, its own or the shim's.
  EXPECT_FALSE(bed.Create("m", Soon()).get());
  // One thread boots; the other one is free again.
  auto other = bed.Start("nobody");
  EXPECT_EQ(other.wait_for(std::chrono::seconds(10)), std::future_status::ready)
      << "it still waits for the boot";
  held.LetGo();
  EXPECT_EQ(other.get().error().code(), Code::kNotFound);
  EXPECT_TRUE(booting.get());
}

TEST(TaskService, TheGuestSeesTheUpdatesOfAContainerInTheirOrder) {
  TaskBed bed;
  Mutex mutex;
  std::vector<std::string> order;  // guarded by it
  const auto note = [&](const std::string& word) {
    const MutexLock lock(mutex);
    order.push_back(word);
  };
  std::atomic<int> updates = 0;
  bed.host().SetAgentScript(
      [&](const sandbox::AgentCall& call, const std::function<void(Result<void>)>& go) {
        if (call.method != "UpdateContainer") return go({});
        if (++updates > 1) {
          note("second");
          return go({});
        }
        // Long enough for a second one to overtake it.
        bed.host().loop().RunAfter(std::chrono::milliseconds(100), [&, go] {
          note("first");
          go({});
        });
      });
  bed.StartPod();
  auto first = bed.Update("pod", R"({"cpu": {"shares": 100}})");
  ASSERT_TRUE(WaitUntil([&] { return updates == 1; }));
  auto second = bed.Update("pod", R"({"cpu": {"shares": 200}})");
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  const MutexLock lock(mutex);
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

}  // namespace
}  // namespace kata::shim
