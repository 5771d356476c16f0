// SPDX-License-Identifier: Apache-2.0
//
// Needs root: the agent itself, spoken to as the host does, with real containers on this machine.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/agent/agent_test_bed.h"
#include "guest/agent/sandbox.h"
#include "guest/agent/service/services.h"
#include "proto/guest.pb.h"
#include "proto/health.pb.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

using testing::Contains;
using testing::HasSubstr;

class AgentTest : public AgentTestBed {};

TEST_F(AgentTest, RunsAContainerToItsExitCode) {
  Run("c1", {"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(Stdout("c1"), "out\n");
  EXPECT_EQ(Stderr("c1"), "err\n");
  EXPECT_EQ(Wait("c1").value_or(-1), 7);
  EXPECT_EQ(Wait("c1", "c1").value_or(-1), 7);
  EXPECT_TRUE(RemoveContainer("c1"));
  EXPECT_EQ(Wait("c1").error().code(), Code::kNotFound);
}

TEST_F(AgentTest, GivesTheContainerTheSandboxsHostName) {
  Run("c1", {"hostname"});
  EXPECT_EQ(Stdout("c1"), "kata-test\n");
}

TEST_F(AgentTest, CarriesMuchInputAndOutputUnchanged) {
  Run("c1", {"cat"});
  std::string sent;
  for (int i = 0; sent.size() < (3 << 20); ++i) sent += fmt::format("line {}\n", i);
  std::thread writer([&] {
    constexpr size_t kChunk = 1 << 20;
    for (size_t at = 0; at < sent.size(); at += kChunk) {
      EXPECT_TRUE(Write("c1", "", sent.substr(at, kChunk)));
    }
    EXPECT_TRUE(CloseStdin("c1"));
  });
  const std::string got = Stdout("c1");
  writer.join();
  EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size() << " bytes";
  EXPECT_EQ(Wait("c1").value_or(-1), 0);
}

TEST_F(AgentTest, TakesEmptyInputAsItsEnd) {
  Run("c1", {"wc", "-c"});
  EXPECT_EQ(Write("c1", "", "12345").value_or(0), 5u);
  EXPECT_TRUE(Write("c1", "", ""));
  EXPECT_EQ(Stdout("c1"), "5\n");
}

// Holds back whoever opens a file or directory, until it is let go.
class OpenGate {
 public:
  explicit OpenGate(const std::string& path)
      : events_(::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY)) {
    if (::fanotify_mark(events_.get(), FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ONDIR, AT_FDCWD,
                        path.c_str()) != 0) {
      events_.Reset();
    }
  }

  // False where the kernel cannot do it.
  bool works() const { return events_.valid(); }
  Result<void> AwaitOpen() const {
    return sys::WaitFor(events_.get(), POLLIN, Deadline::After(std::chrono::seconds(20)));
  }
  // Lets the one that waits go on, and all that come later.
  void Release() {
    fanotify_event_metadata held{};
    ASSERT_GT(::read(events_.get(), &held, sizeof held), 0);
    const sys::UniqueFd file(held.fd);
    const fanotify_response answer{.fd = held.fd, .response = FAN_ALLOW};
    ASSERT_EQ(::write(events_.get(), &answer, sizeof answer), ssize_t{sizeof answer});
    events_.Reset();
  }

 private:
  sys::UniqueFd events_;
};

// The walk through the volume stands still at a directory that the test lets nobody open.
TEST_F(AgentTest, AnswersWhileAVolumeIsGivenToItsGroup) {
  const std::string volume = dir_ + "/volume";
  ASSERT_TRUE(sys::MakeDirs(volume + "/sub"));
  OpenGate gate(volume + "/sub");
  if (!gate.works()) GTEST_SKIP() << "this kernel cannot hold an open back";
  agent::CreateContainerRequest create = ContainerOf("c1", {"true"});
  agent::Storage& storage = *create.add_storages();
  storage.set_driver("bind");
  storage.set_source(volume);
  storage.set_mount_point(dir_ + "/target");
  storage.mutable_fs_group()->set_group_id(88);
  auto created = std::async(std::launch::async, [&] { return Do("CreateContainer", create); });
  ASSERT_TRUE(gate.AwaitOpen());
  const auto health =
      Call<health::HealthCheckResponse>("Check", health::CheckRequest(), "grpc.Health");
  EXPECT_TRUE(health) << health.error().message();
  gate.Release();
  const auto outcome = created.get();
  EXPECT_TRUE(outcome) << outcome.error().message();
  struct stat status{};
  ASSERT_EQ(::stat((volume + "/sub").c_str(), &status), 0);
  EXPECT_EQ(status.st_gid, 88u);
  EXPECT_TRUE(RemoveContainer("c1"));
}

// As when the kernel has to reclaim first: the update stands still at a file of the cgroup.
TEST_F(AgentTest, AnswersWhileAContainerIsUpdated) {
  Run("c1", {"sleep", "1000"});
  const std::string hierarchy =
      sys::Exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  OpenGate gate(hierarchy + ContainerOf("c1", {}).oci().linux().cgroups_path() +
                "/cgroup.controllers");
  if (!gate.works()) GTEST_SKIP() << "this kernel cannot hold an open back";
  agent::UpdateContainerRequest update;
  update.set_container_id("c1");
  (*update.mutable_resources()->mutable_unified())["nobody.max"] = "1";
  auto updated = std::async(std::launch::async, [&] { return Do("UpdateContainer", update); });
  ASSERT_TRUE(gate.AwaitOpen());
  const auto health =
      Call<health::HealthCheckResponse>("Check", health::CheckRequest(), "grpc.Health");
  EXPECT_TRUE(health) << health.error().message();
  gate.Release();
  const auto outcome = updated.get();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(outcome.error().message(), "the requested cgroup controller `nobody` is not available");
}

TEST_F(AgentTest, GivesDevNullToAProcessWithoutInput) {
  agent::CreateContainerRequest create =
      ContainerOf("c1", {"sh", "-c", "cat; readlink /proc/self/fd/0; echo x >&0; sleep 1000"});
  create.mutable_oci()->mutable_process()->set_no_stdin(true);
  ASSERT_TRUE(Do("CreateContainer", create));
  ASSERT_TRUE(StartContainer("c1"));
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "/dev/null\n");
  EXPECT_TRUE(CloseStdin("c1"));
  EXPECT_EQ(Write("c1", "", "word").error().code(), Code::kFailedPrecondition);

  agent::ExecProcessRequest exec;
  exec.set_container_id("c1");
  exec.set_exec_id("e1");
  *exec.mutable_process() = create.oci().process();
  exec.mutable_process()->clear_args();
  for (const char* word : {"sh", "-c", "cat; readlink /proc/self/fd/0"}) {
    exec.mutable_process()->add_args(word);
  }
  ASSERT_TRUE(Do("ExecProcess", exec));
  EXPECT_EQ(Stdout("c1", "e1"), "/dev/null\n");
}

TEST_F(AgentTest, KeepsATerminalOpenThatNobodyGivesInput) {
  agent::CreateContainerRequest create =
      ContainerOf("c1", {"sh", "-c", "echo ready; read x && echo got $x"}, true);
  create.mutable_oci()->mutable_process()->set_no_stdin(true);
  ASSERT_TRUE(Do("CreateContainer", create));
  ASSERT_TRUE(StartContainer("c1"));
  EXPECT_THAT(StdoutUntil("c1", "", "\n"), HasSubstr("ready"));
  // A terminal that somebody attaches to later.
  EXPECT_TRUE(Write("c1", "", "word\n"));
  EXPECT_THAT(Stdout("c1"), HasSubstr("got word"));
}

TEST_F(AgentTest, ReportsDeathBySignal) {
  Run("c1", {"sleep", "1000"});
  EXPECT_TRUE(Exec("c1", "e1", {"sleep", "1000"}));
  EXPECT_TRUE(Signal("c1", "e1", SIGTERM));
  EXPECT_EQ(Wait("c1", "e1").value_or(-1), 128 + SIGTERM);
  EXPECT_EQ(Wait("c1", "e1").error().code(), Code::kNotFound);
  EXPECT_EQ(Signal("c1", "e1", SIGTERM).error().code(), Code::kNotFound);
  EXPECT_TRUE(Signal("c1", "", SIGKILL));
  EXPECT_EQ(Wait("c1").value_or(-1), 128 + SIGKILL);
  EXPECT_EQ(Signal("c1", "c1", SIGKILL).error().code(), Code::kNotFound);
  EXPECT_EQ(Exec("c1", "e2", {"true"}).error().code(), Code::kFailedPrecondition);
}

TEST_F(AgentTest, NamesTheExecutableThatIsMissing) {
  const auto created = CreateContainer("c1", {"nonexistent"});
  ASSERT_FALSE(created);
  EXPECT_THAT(created.error().message(), HasSubstr("executable file not found in $PATH"));
  EXPECT_EQ(created.error().code(), Code::kNotFound);
  EXPECT_EQ(RemoveContainer("c1").error().code(), Code::kNotFound);
  Run("c1", {"sleep", "1000"});
  const auto executed = Exec("c1", "e1", {"nonexistent"});
  ASSERT_FALSE(executed);
  EXPECT_THAT(executed.error().message(), HasSubstr("executable file not found in $PATH"));
  EXPECT_TRUE(Exec("c1", "e1", {"true"})) << "the name is free again";
}

TEST_F(AgentTest, KeepsAnExecsOutputUntilItsBackgroundProcessEnds) {
  Run("c1", {"sleep", "1000"});
  EXPECT_TRUE(Exec("c1", "e1", {"sh", "-c", "(read x; echo late) </proc/1/fd/0 & echo early"}));
  EXPECT_EQ(Wait("c1", "e1").value_or(-1), 0);
  EXPECT_EQ(StdoutUntil("c1", "e1", "early\n"), "early\n");
  EXPECT_TRUE(Write("c1", "", "go\n"));
  EXPECT_EQ(Stdout("c1", "e1"), "late\n");
}

TEST_F(AgentTest, ServesATerminal) {
  Run("c1", {"sh", "-c", "tty; read x; stty size; echo got $x"}, true);
  EXPECT_THAT(StdoutUntil("c1", "", "\n"), HasSubstr("/dev/pts/0"));
  agent::TtyWinResizeRequest resize;
  resize.set_container_id("c1");
  resize.set_row(33);
  resize.set_column(111);
  EXPECT_TRUE(Do("TtyWinResize", resize));
  EXPECT_TRUE(Write("c1", "", "word\n"));
  const std::string rest = Stdout("c1");
  EXPECT_THAT(rest, HasSubstr("33 111"));
  EXPECT_THAT(rest, HasSubstr("got word"));
  EXPECT_EQ(Wait("c1").value_or(-1), 0);
  resize.set_row(100'000);
  EXPECT_FALSE(Do("TtyWinResize", resize));
}

TEST_F(AgentTest, RemovesAContainerThatRuns) {
  Run("c1", {"sh", "-c", "sleep 1000 & sleep 1000"});
  EXPECT_TRUE(RemoveContainer("c1"));
  Run("c1", {"true"});
  EXPECT_EQ(Wait("c1").value_or(-1), 0);
}

TEST_F(AgentTest, EndsReadersAndWaitersOfARemovedContainer) {
  Run("c1", {"sleep", "1000"});
  const Deadline deadline = Deadline::After(std::chrono::seconds(30));
  std::promise<Result<agent::ReadStreamResponse>> read;
  std::promise<Result<agent::WaitProcessResponse>> waited;
  agent::ReadStreamRequest read_request;
  read_request.set_container_id("c1");
  read_request.set_len(100);
  agent::WaitProcessRequest wait_request;
  wait_request.set_container_id("c1");
  // One connection keeps the order of calls: both wait when the removal comes.
  client_->CallAsync<agent::ReadStreamResponse>(
      "grpc.AgentService", "ReadStdout", read_request, deadline,
      [&](Result<agent::ReadStreamResponse> response) { read.set_value(std::move(response)); });
  client_->CallAsync<agent::WaitProcessResponse>(
      "grpc.AgentService", "WaitProcess", wait_request, deadline,
      [&](Result<agent::WaitProcessResponse> response) { waited.set_value(std::move(response)); });
  EXPECT_TRUE(RemoveContainer("c1"));
  const auto data = read.get_future().get();
  ASSERT_TRUE(data) << data.error().message();
  EXPECT_EQ(data->data(), "");
  const auto status = waited.get_future().get();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->status(), 128 + SIGKILL);
}

TEST_F(AgentTest, PausesAndResumes) {
  Run("c1", {"sh", "-c", "while read x; do echo $x; done"});
  agent::PauseContainerRequest pause;
  pause.set_container_id("c1");
  ASSERT_TRUE(Do("PauseContainer", pause));
  EXPECT_EQ(Exec("c1", "e1", {"true"}).error().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(Write("c1", "", "word\n"));
  agent::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  ASSERT_TRUE(Do("ResumeContainer", resume));
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "word\n");
  ASSERT_TRUE(Do("PauseContainer", pause));
  EXPECT_TRUE(RemoveContainer("c1")) << "a paused container can be removed";
}

TEST_F(AgentTest, ListsProcessesByTheirExecs) {
  Run("c1", {"sh", "-c", "sleep 1000 & echo; sleep 1000"});
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "\n");
  EXPECT_TRUE(Exec("c1", "e1", {"sleep", "1000"}));
  ListProcessesRequest request;
  request.set_container_id("c1");
  const auto list = Call<ListProcessesResponse>("ListProcesses", request, "kata.cpp.v1.Guest");
  ASSERT_TRUE(list) << list.error().message();
  std::vector<std::string> execs;
  for (const GuestProcess& process : list->processes()) {
    execs.push_back(process.exec_id());
    EXPECT_THAT(process.command(), HasSubstr("sleep 1000"));
    EXPECT_GT(process.parent(), 0u);
    EXPECT_GT(process.started(), 1'000'000'000u);
  }
  EXPECT_GE(execs.size(), 3u);
  EXPECT_THAT(execs, Contains("e1").Times(1));
}

TEST_F(AgentTest, SignalsEveryProcess) {
  // The first process goes on until the exec has ended: its end would end all others by SIGKILL.
  // The line comes from the child: before it executes it has its parent's trap.
  Run("c1", {"sh", "-c", "trap : TERM; sh -c 'echo; exec sleep 1000' & wait; read x; exit 5"});
  EXPECT_EQ(StdoutUntil("c1", "", "\n"), "\n");
  EXPECT_TRUE(Exec("c1", "e1", {"sleep", "1000"}));
  SignalAllRequest request;
  request.set_container_id("c1");
  request.set_signal(SIGTERM);
  EXPECT_TRUE(Do("SignalAll", request, "kata.cpp.v1.Guest"));
  EXPECT_EQ(Wait("c1", "e1").value_or(-1), 128 + SIGTERM);
  EXPECT_TRUE(Write("c1", "", "\n"));
  EXPECT_EQ(Wait("c1").value_or(-1), 5);
}

TEST_F(AgentTest, RunsManyExecsAtOnce) {
  Run("c1", {"sleep", "1000"});
  constexpr int kExecs = 100;
  constexpr int kThreads = 10;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kExecs; i += kThreads) {
        const std::string id = fmt::format("e{}", i);
        if (!Exec("c1", id, {"sh", "-c", fmt::format("echo {}; exit {}", i, i)})) continue;
        const std::string out = Stdout("c1", id);
        if (out == fmt::format("{}\n", i) && Wait("c1", id).value_or(-1) == i) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kExecs);
}

TEST_F(AgentTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(CreateContainer("a/b", {"true"}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(CreateContainer("..", {"true"}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(CreateContainer(std::string(1000, 'a'), {"true"}).error().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(StartContainer("none").error().code(), Code::kNotFound);
  EXPECT_EQ(Exec("none", "e1", {"true"}).error().code(), Code::kNotFound);
  EXPECT_FALSE(CreateContainer("c1", {}));
  ASSERT_TRUE(CreateContainer("c1", {"sleep", "1000"}));
  EXPECT_EQ(CreateContainer("c1", {"true"}).error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(StartContainer("c1"));
  EXPECT_EQ(StartContainer("c1").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Exec("c1", "c1", {"true"}).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(Exec("c1", "", {"true"}).error().code(), Code::kInvalidArgument);
  EXPECT_TRUE(Exec("c1", "e1", {"sleep", "1000"}));
  EXPECT_EQ(Exec("c1", "e1", {"true"}).error().code(), Code::kAlreadyExists);
  EXPECT_EQ(Signal("c1", "e1", 1000).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(Do("CreateSandbox", agent::CreateSandboxRequest()).error().code(),
            Code::kAlreadyExists);
  EXPECT_EQ(Do("SetPolicy", agent::GetIPTablesRequest()).error().code(), Code::kUnimplemented);
}

TEST_F(AgentTest, WithoutTheProgramsThereIsNoPacketFilterToSee) {
  EXPECT_EQ(Do("GetIPTables", agent::GetIPTablesRequest()).error().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(Do("SetIPTables", agent::SetIPTablesRequest()).error().code(),
            Code::kFailedPrecondition);
}

TEST_F(AgentTest, ContainersHaveANetworkOfTheirOwn) {
  const auto interfaces = Call<agent::Interfaces>("ListInterfaces", agent::ListInterfacesRequest());
  ASSERT_TRUE(interfaces) << interfaces.error().message();
  EXPECT_EQ(interfaces->interfaces_size(), 0);
  const auto routes = Call<agent::Routes>("ListRoutes", agent::ListRoutesRequest());
  ASSERT_TRUE(routes) << routes.error().message();
  EXPECT_EQ(routes->routes_size(), 0);
  EXPECT_GE(routes->rules_size(), 3) << "the kernel's own";
  Run("c1", {"sh", "-c", "cat /proc/net/dev | grep -c : ; grep -c . /proc/net/route"});
  EXPECT_EQ(Stdout("c1"), "1\n1\n") << "the loopback, and the head of an empty table";
  agent::UpdateInterfaceRequest missing;
  missing.mutable_interface()->set_name("a/b");
  missing.mutable_interface()->set_hw_addr("02:00:00:00:00:07");
  EXPECT_FALSE(Do("UpdateInterface", missing));
}

TEST_F(AgentTest, TellsWhatItIs) {
  const auto health =
      Call<health::HealthCheckResponse>("Check", health::CheckRequest(), "grpc.Health");
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status(), health::HealthCheckResponse::SERVING);
  const auto details =
      Call<agent::GuestDetailsResponse>("GetGuestDetails", agent::GuestDetailsRequest());
  ASSERT_TRUE(details);
  EXPECT_THAT(details->agent_details().storage_handlers(), Contains("virtio-fs"));
  EXPECT_THAT(details->agent_details().extra_features(), Contains("kata.cpp.v1.Guest"));
  const auto metrics = Call<agent::Metrics>("GetMetrics", agent::GetMetricsRequest());
  ASSERT_TRUE(metrics);
  EXPECT_THAT(metrics->metrics(), HasSubstr("kata_guest_load"));
}

TEST_F(AgentTest, ACopyIsRenewedOnlyWithEnoughEntropy) {
  RenewRequest request;
  request.set_entropy("short");
  EXPECT_EQ(Do("Renew", request, kGuestService).error().code(), Code::kInvalidArgument);
  request.set_entropy(std::string(64, 'e'));
  request.set_seconds(-1);
  EXPECT_EQ(Do("Renew", request, kGuestService).error().code(), Code::kInvalidArgument);
}

TEST_F(AgentTest, ASandboxCanBeResetAndMadeAgain) {
  Run("c1", {"sleep", "100"});
  EXPECT_TRUE(Do("ResetSandbox", ResetSandboxRequest(), kGuestService));
  EXPECT_FALSE(StartContainer("c1")) << "its containers have gone with it";
  agent::CreateSandboxRequest again;
  again.set_sandbox_id("again");
  const auto made = Do("CreateSandbox", again);
  ASSERT_TRUE(made) << made.error().message();
  Run("c1", {"true"});
  EXPECT_EQ(*Wait("c1"), 0);
}

}  // namespace
}  // namespace kata::guest
