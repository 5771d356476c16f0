// SPDX-License-Identifier: Apache-2.0
//
// Needs root: what the first process of a container is.
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

using testing::HasSubstr;

TEST_F(ContainerTest, WhatWaitsForItsStartEndsBySignals) {
  SetScript("true");
  auto created = Create({});
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(Await(created->init).kind, ProcessReport::Kind::kReady);
  ASSERT_EQ(::kill(created->init.pid, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(created->init.pid, &status, 0), created->init.pid);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  Remove(created->container.get());
}

TEST_F(ContainerTest, RunsAProgramAndPassesItsExitCodeOn) {
  SetScript("echo out; echo err >&2; exit 7");
  const Outcome outcome = Run();
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "out\nerr\n");
  EXPECT_EQ(outcome.exit_code(), 7);
}

TEST_F(ContainerTest, IsTheFirstProcessOfItsPidNamespace) {
  EXPECT_EQ(RunScript("echo $$ /proc/[0-9]*"), "1 /proc/1\n");
}

TEST_F(ContainerTest, WaitsForItsStart) {
  SetScript("echo started");
  sys::Pipe out;
  auto created = Create(Captured(&out));
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(Await(created->init).kind, ProcessReport::Kind::kReady);
  EXPECT_EQ(ReadReport(created->init.report.get()).kind, ProcessReport::Kind::kNothingYet);
  created->init.start.Reset();
  int status = 0;
  ASSERT_EQ(::waitpid(created->init.pid, &status, 0), created->init.pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(*sys::ReadToEnd(out.read.get(), 100), "");
  Remove(created->container.get());
}

TEST_F(ContainerTest, HasTheUserAndGroupsOfItsSpec) {
  oci::User* user = process()->mutable_user();
  user->set_uid(1000);
  user->set_gid(1001);
  user->add_additional_gids(1002);
  user->add_additional_gids(1003);
  user->set_umask(027);
  EXPECT_EQ(RunScript("id -u; id -g; id -G; umask; echo $HOME"),
            "1000\n1001\n1001 1002 1003\n0027\n/home/user\n");
}

TEST_F(ContainerTest, HasExactlyTheCapabilitiesOfItsSpec) {
  oci::LinuxCapabilities* capabilities = process()->mutable_capabilities();
  for (const char* name : {"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}) {
    capabilities->add_bounding(name);
    capabilities->add_permitted(name);
    capabilities->add_effective(name);
  }
  capabilities->add_inheritable("CAP_KILL");
  capabilities->add_ambient("CAP_KILL");
  process()->mutable_user()->set_uid(1000);
  process()->set_no_new_privileges(true);
  const std::string status = RunScript("grep -E 'Cap|NoNewPrivs' /proc/self/status");
  EXPECT_THAT(status, HasSubstr("CapInh:\t0000000000000020"));
  EXPECT_THAT(status, HasSubstr("CapPrm:\t0000000000000020"));
  EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000020"));
  EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000421"));
  EXPECT_THAT(status, HasSubstr("CapAmb:\t0000000000000020"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
}

TEST_F(ContainerTest, HasNoCapabilitiesWithoutAnyInItsSpec) {
  const std::string status = RunScript("grep Cap /proc/self/status");
  EXPECT_THAT(status, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000"));
}

TEST_F(ContainerTest, RefusesUnknownCapabilities) {
  SetScript("true");
  process()->mutable_capabilities()->add_bounding("CAP_UNHEARD_OF");
  EXPECT_THAT(RunForError().message(), HasSubstr("unknown capability \"CAP_UNHEARD_OF\""));
}

TEST_F(ContainerTest, HasTheLimitsOfItsSpec) {
  oci::POSIXRlimit* limit = process()->add_rlimits();
  limit->set_type("RLIMIT_NOFILE");
  limit->set_soft(8);
  limit->set_hard(9);
  process()->set_oom_score_adj(500);
  EXPECT_EQ(RunScript("ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"), "8\n9\n500\n");
}

TEST_F(ContainerTest, MakesItsWorkingDirectory) {
  process()->set_cwd("/made/for/../it");
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/made/for"));
  EXPECT_EQ(RunScript("pwd"), "/made/it\n");
}

TEST_F(ContainerTest, HasTheEnvironmentOfItsSpec) {
  process()->add_env("A=1");
  process()->add_env("A=2");
  process()->add_env("B=x=y");
  EXPECT_EQ(RunScript("env | grep -E '^(A|B|HOME)=' | sort"), "A=2\nB=x=y\nHOME=/root\n");
}

TEST_F(ContainerTest, HasAHostNameAndADomainName) {
  spec_.set_hostname("guesthost");
  spec_.set_domainname("guestdomain");
  EXPECT_EQ(RunScript("hostname; cat /proc/sys/kernel/domainname"), "guesthost\nguestdomain\n");
}

TEST_F(ContainerTest, SetsSysctlsOfItsNamespaces) {
  (*linux_part()->mutable_sysctl())["kernel.shm_rmid_forced"] = "1";
  (*linux_part()->mutable_sysctl())["kernel.msgmax"] = "16384";
  EXPECT_EQ(RunScript("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax"),
            "1\n16384\n");
}

TEST_F(ContainerTest, HasATerminalOfItsOwn) {
  process()->mutable_console_size()->set_height(33);
  process()->mutable_console_size()->set_width(77);
  EXPECT_EQ(RunInTerminal("tty; stty size; stat -c %t /dev/console; echo x > /dev/tty;"
                          "echo y > /dev/console"),
            "/dev/pts/0\r\n33 77\r\n88\r\nx\r\ny\r\n");
}

TEST_F(ContainerTest, WordsMissingProgramsAsRuncDoes) {
  SetArgs(process(), {"nosuchprogram"});
  Error error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"nosuchprogram\": executable file not found in $PATH");
  EXPECT_EQ(error.code(), Code::kNotFound);

  SetArgs(process(), {"/no/such"});
  error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"/no/such\": stat /no/such: no such file or directory");
  EXPECT_EQ(error.error_number(), ENOENT);

  SetArgs(process(), {"/etc/passwd"});
  error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"/etc/passwd\": permission denied");
  EXPECT_EQ(error.code(), Code::kPermissionDenied);

  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/bin/garbage", "\x01\x02\x03 not a program", 0755));
  SetArgs(process(), {"garbage"});
  const Outcome outcome = Run();
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "exec /bin/garbage: exec format error\n");
  EXPECT_EQ(outcome.exit_code(), 1);
}

TEST_F(ContainerTest, LeaksNoDescriptorOfTheAgent) {
  const sys::UniqueFd leak = *sys::Open(dir_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(sys::SetCloseOnExec(leak.get(), false));
  EXPECT_EQ(RunScript("ls /proc/self/fd | grep -vE '^[0-3]$' || echo none"), "none\n");

  process()->set_cwd(fmt::format("/proc/self/fd/{}", leak.get()));
  SetScript("pwd");
  EXPECT_THAT(RunForError().message(), HasSubstr("cwd"));
}

TEST_F(ContainerTest, RefusesAUserNamespaceWithoutMappings) {
  SetScript("true");
  linux_part()->add_namespaces()->set_type("user");
  const Error error = RunForError();
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_THAT(error.message(), HasSubstr("uidMappings"));
}

}  // namespace
}  // namespace kata::guest
