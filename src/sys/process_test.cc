// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Command Shell(const std::string& script) {
  Command command;
  command.argv = {"/bin/sh", "-c", script};
  return command;
}

Deadline Soon() { return Deadline::After(seconds(20)); }

TEST(ChildProcess, ReportsTheExitCode) {
  auto child = ChildProcess::Spawn(Shell("exit 42"));
  ASSERT_TRUE(child) << child.error().message();
  const auto status = child->Wait(Soon());
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->code, 42);
  EXPECT_EQ(status->Describe(), "exit status 42");
  EXPECT_EQ(child->Wait(Soon())->code, 42);
}

TEST(ChildProcess, ReportsTheKillingSignal) {
  auto child = ChildProcess::Spawn(Shell("kill -KILL $$"));
  ASSERT_TRUE(child);
  const auto status = child->Wait(Soon());
  EXPECT_EQ(status->signal, SIGKILL);
  EXPECT_EQ(status->ShellCode(), 137);
  EXPECT_EQ(status->Describe(), "killed by signal 9 (killed)");
}

TEST(ChildProcess, NamesTheStepThatFailed) {
  Command command;
  command.argv = {"/nonexistent/program"};
  auto child = ChildProcess::Spawn(command);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message(), "execve \"/nonexistent/program\": No such file or directory");
  EXPECT_EQ(child.error().code(), Code::kNotFound);

  command = Shell("true");
  command.cwd = "/nonexistent";
  EXPECT_THAT(ChildProcess::Spawn(command).error().message(), StartsWith("chdir \"/nonexistent\""));

  command = Shell("true");
  command.cgroup_dirs = {"/nonexistent"};
  EXPECT_THAT(ChildProcess::Spawn(command).error().message(),
              StartsWith("open \"/nonexistent/cgroup.procs\""));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a failed child must be reaped";
}

TEST(ChildProcess, LooksUpProgramsInPath) {
  Command command;
  command.argv = {"true"};
  auto child = ChildProcess::Spawn(command);
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_TRUE(child->Wait(Soon())->Success());
  command.argv = {"no-such-program-anywhere"};
  EXPECT_THAT(ChildProcess::Spawn(command).error().message(),
              HasSubstr("executable file not found in $PATH"));
}

TEST(ChildProcess, PassesOnlyTheMappedDescriptors) {
  // Two descriptors swapped, and one without close-on-exec that must not be inherited.
  auto first = MakePipe();
  auto second = MakePipe();
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(SetCloseOnExec(first->write.get(), false));
  ASSERT_TRUE(SetCloseOnExec(second->write.get(), false));
  Command command = Shell("echo one >&3; echo two >&4; ls /proc/self/fd | tr '\\n' ' ' >&3");
  command.fds = {{second->write.get(), 3}, {first->write.get(), 4}};
  auto child = ChildProcess::Spawn(command);
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_TRUE(child->Wait(Soon())->Success());
  first->write.Reset();
  second->write.Reset();
  EXPECT_EQ(*ReadToEnd(first->read.get(), 1000), "two\n");
  // `ls` itself holds one more for the directory.
  EXPECT_EQ(*ReadToEnd(second->read.get(), 1000), "one\n0 1 2 3 4 5 ");
}

TEST(ChildProcess, RejectsContradictoryCommands) {
  EXPECT_FALSE(ChildProcess::Spawn(Command{}));
  Command command = Shell("true");
  command.fds = {{0, 5}, {1, 5}};
  EXPECT_EQ(ChildProcess::Spawn(command).error().code(), Code::kInvalidArgument);
  command = Shell("true");
  command.uid = 1;
  EXPECT_EQ(ChildProcess::Spawn(command).error().code(), Code::kInvalidArgument);
  command = Shell(std::string("tr\0ue", 5));
  EXPECT_EQ(ChildProcess::Spawn(command).error().code(), Code::kInvalidArgument);
}

TEST(ChildProcess, StartsWithDefaultSignalsWhateverTheParentDoes) {
  const auto old = ::signal(SIGPIPE, SIG_IGN);
  const auto result = RunAndCollect(Shell("kill -PIPE $$; echo survived"), Soon());
  ::signal(SIGPIPE, old);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status.signal, SIGPIPE);
}

TEST(ChildProcess, WaitHonoursItsDeadlineAndDestructionKills) {
  pid_t pid = -1;
  {
    auto child = ChildProcess::Spawn(Shell("exec sleep 1000"));
    ASSERT_TRUE(child);
    pid = child->pid();
    const auto status = child->Wait(Deadline::After(milliseconds(20)));
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::kDeadlineExceeded);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(ChildProcess, TerminateEscalatesToKill) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  Command command = Shell("trap '' TERM; echo ready; while :; do sleep 1; done");
  command.stdout_fd = pipe->write.get();
  auto child = ChildProcess::Spawn(command);
  ASSERT_TRUE(child);
  ASSERT_TRUE(WaitFor(pipe->read.get(), POLLIN, Soon()));
  EXPECT_EQ(child->Terminate(milliseconds(50))->signal, SIGKILL);
  EXPECT_TRUE(child->Signal(SIGTERM)) << "signalling an ended process is no error";
}

TEST(ChildProcess, LeadsAGroupOfItsOwnWhereItIsToldTo) {
  Command command = Shell("exec sleep 1000");
  command.new_process_group = true;
  const auto child = ChildProcess::Spawn(command);
  ASSERT_TRUE(child);
  EXPECT_EQ(::getpgid(child->pid()), child->pid());
}

TEST(ChildProcess, ParentDeathSignalOutlivesTheThreadThatSpawned) {
  Command command = Shell("exec sleep 1000");
  command.parent_death_signal = SIGKILL;
  Result<ChildProcess> child = Fail(Code::kUnknown, "not started");
  std::thread([&] { child = ChildProcess::Spawn(command); }).join();
  ASSERT_TRUE(child) << child.error().message();
  EXPECT_EQ(child->Wait(Deadline::After(milliseconds(100))).error().code(),
            Code::kDeadlineExceeded);
}

TEST(ChildProcess, ParentDeathSignalArrives) {
  auto pipe = MakePipe();
  ASSERT_TRUE(pipe);
  const pid_t middle = ::fork();
  if (middle == 0) {
    Command command = Shell("echo up; exec sleep 1000");
    command.parent_death_signal = SIGKILL;
    command.stdout_fd = pipe->write.get();
    auto child = ChildProcess::Spawn(command);
    ::pause();
    ::_exit(0);
  }
  pipe->write.Reset();
  ASSERT_TRUE(WaitFor(pipe->read.get(), POLLIN, Soon()));
  ::kill(middle, SIGKILL);
  ::waitpid(middle, nullptr, 0);
  EXPECT_EQ(*ReadToEnd(pipe->read.get(), 100), "up\n");  // ends only when the grandchild is gone
}

TEST(ChildProcess, KeepsToItsLimits) {
  Command command = Shell("ulimit -f; ulimit -Hf");
  command.limits = {{RLIMIT_FSIZE, 1 << 20}};
  const auto told = RunAndCollect(command, Soon());
  ASSERT_TRUE(told) << told.error().message();
  EXPECT_EQ(told->output, "2048\n2048\n") << "blocks of 512 bytes";
  command.limits = {{-1, 0}};
  EXPECT_THAT(ChildProcess::Spawn(command).error().message(), HasSubstr("setrlimit"));
}

TEST(ChildProcess, ManyThreadsSpawnAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&good] {
      for (int i = 0; i < 20; ++i) {
        auto child = ChildProcess::Spawn(Shell("exit 7"));
        if (child && child->Wait(Soon())->code == 7) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST(RunAndCollect, BoundsTheOutput) {
  const auto result = RunAndCollect(Shell("head -c 100000 /dev/zero | tr '\\0' x; exit 3"), Soon(),
                                    /*limit=*/1000);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->status.code, 3);
  EXPECT_EQ(result->output, std::string(1000, 'x'));
}

TEST(RunAndCollect, KillsAtTheDeadline) {
  const auto result = RunAndCollect(Shell("exec sleep 1000"), Deadline::After(milliseconds(30)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace kata::sys
