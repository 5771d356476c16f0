// SPDX-License-Identifier: Apache-2.0
//
// Needs root: later processes of a container, and all of them together.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "guest/agent/container/container_test_bed.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST_F(ExecTest, SeesTheSameNamespacesAsTheFirstProcess) {
  spec_.set_hostname("same");
  Begin();
  const Outcome outcome = Exec(Script(
      "for n in pid mnt ipc uts cgroup net; do "
      "test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo differs $n; done; "
      "hostname; cat /proc/1/comm"));
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "same\nsleep\n");
}

TEST_F(ExecTest, TakesTheCapabilitiesOfTheFirstProcessUnlessToldOthers) {
  // Reading another process's namespaces needs no capability when both are alike.
  oci::LinuxCapabilities* capabilities = process()->mutable_capabilities();
  capabilities->add_bounding("CAP_KILL");
  capabilities->add_permitted("CAP_KILL");
  capabilities->add_effective("CAP_KILL");
  Begin();
  EXPECT_THAT(Exec(Script("grep CapEff /proc/self/status")).out, EndsWith("0020\n"));
  oci::Process process = Script("grep CapEff /proc/self/status");
  process.mutable_capabilities();
  EXPECT_THAT(Exec(process).out, EndsWith("0000\n"));
}

TEST_F(ExecTest, ReportsErrorsAsTheFirstProcessDoes) {
  Begin();
  oci::Process process = Script("");
  SetArgs(&process, {"nosuch"});
  const Outcome outcome = Exec(process);
  ASSERT_FALSE(outcome.made);
  EXPECT_EQ(outcome.made.error().message(), "exec: \"nosuch\": executable file not found in $PATH");
  process.set_cwd("/missing");
  SetArgs(&process, {"true"});
  EXPECT_THAT(Exec(process).made.error().message(),
              HasSubstr("chdir to cwd (\"/missing\") set in config.json failed: no such "
                        "file or directory"));
}

TEST_F(ExecTest, HasATerminalOfItsOwn) {
  Begin();
  ProcessStdio stdio;
  stdio.terminal = true;
  auto started = container_->Exec(Script("tty"), std::move(stdio));
  ASSERT_TRUE(started) << started.error().message();
  const ProcessReport report = Await(*started);
  ASSERT_TRUE(report.terminal.valid()) << report.error.message();
  EXPECT_EQ(ReadTerminal(report.terminal.get()), "/dev/pts/0\r\n");
  (void)::waitpid(started->pid, nullptr, 0);
}

TEST_F(ExecTest, AHundredAtOnceWork) {
  Begin();
  struct Running {
    PendingProcess process;
    sys::Pipe out;
  };
  std::vector<Running> all(100);
  for (size_t i = 0; i < all.size(); ++i) {
    auto started =
        container_->Exec(Script(fmt::format("echo {}; exit {}", i, i)), Captured(&all[i].out));
    ASSERT_TRUE(started) << started.error().message();
    all[i].process = *std::move(started);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    Outcome outcome;
    Finish(&all[i].process, all[i].out.read.get(), &outcome);
    EXPECT_TRUE(outcome.made);
    EXPECT_EQ(outcome.out, fmt::format("{}\n", i));
    EXPECT_EQ(outcome.exit_code(), static_cast<int>(i));
  }
}

TEST_F(ExecTest, IsRefusedAfterTheFirstProcessHasEnded) {
  Begin();
  ASSERT_EQ(::kill(init_, SIGKILL), 0);
  ASSERT_EQ(::waitpid(init_, nullptr, 0), init_);
  const Outcome outcome = Exec(Script("true"));
  ASSERT_FALSE(outcome.made);
  EXPECT_EQ(outcome.made.error().code(), Code::kFailedPrecondition);
}

TEST_F(ExecTest, ListsFreezesAndKillsAllProcesses) {
  Begin();
  auto started = container_->Exec(Script("sleep 1000 & sleep 1000; true"), {});
  ASSERT_TRUE(started);
  ASSERT_EQ(Await(*started).kind, ProcessReport::Kind::kReady);
  ASSERT_EQ(Await(*started).kind, ProcessReport::Kind::kRunning);
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  while (container_->Pids()->size() < 4 && !deadline.Passed()) ::usleep(1000);
  EXPECT_EQ(container_->Pids()->size(), 4u);

  ASSERT_TRUE(container_->Freeze(true));
  while (!*container_->Frozen() && !deadline.Passed()) ::usleep(1000);
  EXPECT_TRUE(*container_->Frozen());
  EXPECT_THAT(Exec(Script("true")).made.error().message(), HasSubstr("is paused"));
  ASSERT_TRUE(container_->Freeze(false));
  while (*container_->Frozen() && !deadline.Passed()) ::usleep(1000);
  EXPECT_FALSE(*container_->Frozen());

  const auto stats = container_->Stats();
  ASSERT_TRUE(stats);
  EXPECT_GT(stats->cgroup_stats().cpu_stats().cpu_usage().total_usage(), 0u);

  const auto removed = container_->Destroy();  // also kills
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kUnavailable);
  // The first process of a pid namespace ends only after all others were reaped.
  int status = 0;
  EXPECT_EQ(::waitpid(started->pid, &status, 0), started->pid);
  EXPECT_EQ(::waitpid(init_, &status, 0), init_);
  EXPECT_TRUE(WIFSIGNALED(status));
}

}  // namespace
}  // namespace kata::guest
