// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::guest {
namespace {

using testing::HasSubstr;

oci::LinuxSeccomp Profile(const char* default_action) {
  oci::LinuxSeccomp profile;
  profile.set_default_action(default_action);
  return profile;
}

oci::LinuxSyscall* AddRule(oci::LinuxSeccomp* profile, std::vector<const char*> names,
                           const char* action) {
  oci::LinuxSyscall* rule = profile->add_syscalls();
  for (const char* name : names) rule->add_names(name);
  rule->set_action(action);
  return rule;
}

// What `work` returns (0..100) in a child under the filter; 200 where the filter was refused, -1
// where it was killed.
int Under(const oci::LinuxSeccomp& profile, const std::function<int()>& work) {
  const auto filter = CompileSeccomp(profile);
  EXPECT_TRUE(filter) << filter.error().message();
  if (!filter) return 201;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // Not by _exit, in which a sanitizer makes calls of its own.
    ::syscall(SYS_exit_group, LoadSeccomp(*filter) ? work() : 200);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int ErrnoOf(long call, long a = 0, long b = 0) { return ::syscall(call, a, b) < 0 ? errno : 0; }

TEST(Seccomp, RefusesACallWithTheErrnoOfItsRule) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  AddRule(&profile, {"getppid"}, "SCMP_ACT_ERRNO");
  AddRule(&profile, {"getuid"}, "SCMP_ACT_ERRNO")->set_errnoret(77);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getppid); }), EPERM);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getuid); }), 77);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getgid); }), 0);
}

TEST(Seccomp, TheDefaultHasItsErrnoAndNewerCallsDoNotExist) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ERRNO");
  profile.set_default_errno_ret(71);
  AddRule(&profile, {"exit", "exit_group", "write", "close_range"}, "SCMP_ACT_ALLOW");
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getppid); }), 71);
  // close_range has the highest number in the profile.
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_close_range + 1); }), ENOSYS);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_close_range - 1); }), 71);
}

TEST(Seccomp, KillsWhereTheProfileSaysSo) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  AddRule(&profile, {"getppid"}, "SCMP_ACT_KILL");
  AddRule(&profile, {"getuid"}, "SCMP_ACT_KILL_PROCESS");
  AddRule(&profile, {"getgid"}, "SCMP_ACT_TRAP");
  AddRule(&profile, {"geteuid"}, "SCMP_ACT_LOG");
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getppid); }), -1);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getuid); }), -1);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getgid); }), -1);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_geteuid); }), 0);
}

TEST(Seccomp, ConditionsOnSeveralArgumentsAllCount) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  oci::LinuxSyscall* rule = AddRule(&profile, {"kill"}, "SCMP_ACT_ERRNO");
  rule->set_errnoret(70);
  oci::LinuxSeccompArg* first = rule->add_args();
  first->set_op("SCMP_CMP_EQ");
  oci::LinuxSeccompArg* second = rule->add_args();
  second->set_index(1);
  second->set_op("SCMP_CMP_MASKED_EQ");
  second->set_value(0xf0);
  second->set_value_two(0x10);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_kill, 0, 0x1f); }), 70);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_kill, 0, 0); }), 0);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_kill, ::getpid(), 0); }), 0);
}

TEST(Seccomp, TwoConditionsOnOneArgumentAreTwoRules) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  oci::LinuxSyscall* rule = AddRule(&profile, {"setpgid"}, "SCMP_ACT_ERRNO");
  rule->set_errnoret(70);
  for (const uint64_t value : {3, 5}) {
    oci::LinuxSeccompArg* arg = rule->add_args();
    arg->set_index(1);
    arg->set_value(value);
    arg->set_op("SCMP_CMP_EQ");
  }
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_setpgid, 0, 3); }), 70);
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_setpgid, 0, 5); }), 70);
  EXPECT_NE(Under(profile, [] { return ErrnoOf(SYS_setpgid, 0, 0); }), 70);
}

TEST(Seccomp, SkipsCallsThatNobodyKnows) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  AddRule(&profile, {"no_such_call", "getppid"}, "SCMP_ACT_ERRNO");
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getppid); }), EPERM);
}

TEST(Seccomp, TakesArchitecturesAndFlags) {
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ERRNO");
  for (const char* name : {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}) {
    profile.add_architectures(name);
  }
  AddRule(&profile, {"exit_group", "exit", "clone3"}, "SCMP_ACT_ALLOW");
  EXPECT_EQ(CompileSeccomp(profile)->flags, unsigned{SECCOMP_FILTER_FLAG_SPEC_ALLOW});
  profile.add_flags("SECCOMP_FILTER_FLAG_LOG");
  profile.add_flags("SECCOMP_FILTER_FLAG_TSYNC");
  EXPECT_EQ(CompileSeccomp(profile)->flags,
            unsigned{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_TSYNC});
  EXPECT_EQ(Under(profile, [] { return ErrnoOf(SYS_getppid); }), EPERM);
}

TEST(Seccomp, RefusesWhatItDoesNotKnow) {
  const auto error_of = [](const oci::LinuxSeccomp& profile) {
    const auto filter = CompileSeccomp(profile);
    return filter ? std::string() : filter.error().message();
  };
  EXPECT_THAT(error_of(Profile("SCMP_ACT_NOTIFY")), HasSubstr("not supported"));
  EXPECT_THAT(error_of(Profile("SCMP_ACT_MAYBE")), HasSubstr("SCMP_ACT_MAYBE"));
  oci::LinuxSeccomp profile = Profile("SCMP_ACT_ALLOW");
  profile.add_architectures("SCMP_ARCH_Z80");
  EXPECT_THAT(error_of(profile), HasSubstr("SCMP_ARCH_Z80"));
  profile = Profile("SCMP_ACT_ALLOW");
  profile.add_flags("FLAG");
  EXPECT_THAT(error_of(profile), HasSubstr("unknown flag"));
}

}  // namespace
}  // namespace kata::guest
