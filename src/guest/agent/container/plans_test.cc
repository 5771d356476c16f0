// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/resource.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/agent/container/container.h"
#include "guest/agent/container/lookup.h"
#include "guest/agent/container/mount_plan.h"
#include "guest/agent/container/process_plan.h"
#include "guest/agent/container/report.h"

namespace kata::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

oci::Mount* AddMount(oci::Spec* spec, const char* destination, const char* type, const char* source,
                     std::initializer_list<const char*> options = {}) {
  oci::Mount* mount = spec->add_mounts();
  mount->set_destination(destination);
  mount->set_type(type);
  mount->set_source(source);
  for (const char* option : options) mount->add_options(option);
  return mount;
}

TEST(PlanMounts, SortsMountsIntoKinds) {
  oci::Spec spec;
  AddMount(&spec, "/proc", "proc", "proc");
  AddMount(&spec, "/v", "", "/src", {"rbind", "ro"});
  AddMount(&spec, "tmp//", "tmpfs", "", {"size=1m", "nodev"});
  AddMount(&spec, "/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "memory"});
  AddMount(&spec, "/dev/pts", "devpts", "devpts", {"newinstance"});
  const auto mounts = PlanMounts(spec);
  ASSERT_TRUE(mounts) << mounts.error().message();
  using Kind = PlannedMount::Kind;
  EXPECT_EQ((*mounts)[0].kind, Kind::kKernel);
  EXPECT_EQ((*mounts)[1].kind, Kind::kBind);
  EXPECT_EQ((*mounts)[1].type, "");
  EXPECT_EQ((*mounts)[2].kind, Kind::kTmpfs);
  EXPECT_EQ((*mounts)[2].destination, "/tmp");
  EXPECT_EQ((*mounts)[2].source, "tmpfs");
  EXPECT_EQ((*mounts)[2].options.data, "size=1m");
  EXPECT_EQ((*mounts)[3].kind, Kind::kCgroup);
  EXPECT_EQ((*mounts)[3].type, "cgroup2");
  EXPECT_EQ((*mounts)[3].options.data, "");
  EXPECT_EQ((*mounts)[4].kind, Kind::kOther);
}

TEST(PlanMounts, RefusesMountsThatMakeNoSense) {
  const auto refused = [](const char* destination, const char* type, const char* source,
                          std::initializer_list<const char*> options = {}) {
    oci::Spec spec;
    AddMount(&spec, destination, type, source, options);
    const auto mounts = PlanMounts(spec);
    return mounts ? Code::kOk : mounts.error().code();
  };
  EXPECT_EQ(refused("", "tmpfs", "tmpfs"), Code::kInvalidArgument);
  EXPECT_EQ(refused("/a", "bind", ""), Code::kInvalidArgument);
  EXPECT_EQ(refused("/a", "bind", "relative", {"rbind"}), Code::kInvalidArgument);
  EXPECT_EQ(refused("/a", "", "x"), Code::kInvalidArgument);
  EXPECT_EQ(refused("/a", "ext4", "/dev/vda", {"tmpcopyup"}), Code::kInvalidArgument);
  EXPECT_EQ(refused("/a", "bind", "/b", {"bind", "idmap"}), Code::kUnimplemented);
}

TEST(NeedsDevices, NotWhenAnotherDevIsBound) {
  oci::Spec spec;
  AddMount(&spec, "/dev", "tmpfs", "tmpfs");
  EXPECT_TRUE(NeedsDevices(*PlanMounts(spec)));
  AddMount(&spec, "/dev/", "bind", "/dev", {"rbind"});
  EXPECT_FALSE(NeedsDevices(*PlanMounts(spec)));
}

TEST(MayCoverInProc, OnlyWhatResourceViewsReplace) {
  for (const char* name : {"/proc/cpuinfo", "/proc/uptime", "/proc/net/dev", "/proc/12/net/dev"}) {
    EXPECT_TRUE(MayCoverInProc(name)) << name;
  }
  for (const char* name : {"/proc/sys", "/proc/self/attr", "/proc/1/attr/exec", "/proc/x/net/dev",
                           "/proc/cpuinfo/x", "/proc"}) {
    EXPECT_FALSE(MayCoverInProc(name)) << name;
  }
}

oci::Process MinimalProcess() {
  oci::Process process;
  process.set_cwd("/");
  process.add_args("true");
  return process;
}

TEST(PlanProcess, TakesTheLastValueOfAVariable) {
  oci::Process process = MinimalProcess();
  for (const char* entry : {"A=1", "B=2", "A=3", "AA=4"}) process.add_env(entry);
  EXPECT_THAT(PlanProcess(process)->env, ElementsAre("B=2", "A=3", "AA=4"));
}

TEST(PlanProcess, RefusesWhatNoKernelWouldTake) {
  const auto message = [](const oci::Process& process) {
    const auto plan = PlanProcess(process);
    EXPECT_FALSE(plan);
    return plan ? std::string() : plan.error().message();
  };
  oci::Process process = MinimalProcess();
  process.clear_args();
  EXPECT_THAT(message(process), HasSubstr("args must not be empty"));
  process = MinimalProcess();
  process.set_cwd("relative");
  EXPECT_THAT(message(process), HasSubstr("cwd \"relative\""));
  process = MinimalProcess();
  process.add_env("novalue");
  EXPECT_THAT(message(process), HasSubstr("\"novalue\""));
  process = MinimalProcess();
  process.add_rlimits()->set_type("RLIMIT_WISHES");
  EXPECT_THAT(message(process), HasSubstr("RLIMIT_WISHES"));
  process = MinimalProcess();
  process.set_oom_score_adj(1001);
  EXPECT_THAT(message(process), HasSubstr("oomScoreAdj"));
}

TEST(PlanProcess, RefusesALimitGivenTwiceOrUpsideDown) {
  oci::Process process = MinimalProcess();
  oci::POSIXRlimit* limit = process.add_rlimits();
  limit->set_type("RLIMIT_CORE");
  limit->set_soft(2);
  limit->set_hard(1);
  EXPECT_FALSE(PlanProcess(process));
  limit->set_hard(3);
  EXPECT_EQ(PlanProcess(process)->limits[0].resource, RLIMIT_CORE);
  process.add_rlimits()->set_type("RLIMIT_CORE");
  EXPECT_FALSE(PlanProcess(process));
}

TEST(PlanProcess, InheritsCapabilitiesOnlyWhereItHasNone) {
  oci::Process process = MinimalProcess();
  EXPECT_EQ(PlanProcess(process, {.effective = 5})->capabilities.effective, 5u);
  process.mutable_capabilities();
  EXPECT_EQ(PlanProcess(process, {.effective = 5})->capabilities.effective, 0u);
}

TEST(HomeOf, IsTheSixthFieldOfTheUsersLine) {
  constexpr std::string_view kPasswd =
      "root:x:0:0:root:/root:/bin/sh\nbroken\n:::\nu:x:1000:1000::/home/u:/bin/sh\n"
      "n:x:7:7:::/bin/sh\nbig:x:4294967296:0::/big:\nlast:x:8:8::/last";
  EXPECT_EQ(HomeOf(kPasswd, 0), "/root");
  EXPECT_EQ(HomeOf(kPasswd, 1000), "/home/u");
  EXPECT_EQ(HomeOf(kPasswd, 7), "/");
  EXPECT_EQ(HomeOf(kPasswd, 8), "/last");
  EXPECT_EQ(HomeOf(kPasswd, 99), "/");
  EXPECT_EQ(HomeOf("", 0), "/");
}

TEST(FindExecutable, SearchesInOrderAndSkipsEmptyElements) {
  EXPECT_EQ(*FindExecutable("sh", "/nowhere::/usr/bin:/bin"), "/usr/bin/sh");
  EXPECT_EQ(*FindExecutable("/bin/sh", nullptr), "/bin/sh");
  for (const char* path : {"", ":", "/nowhere"}) {
    EXPECT_EQ(FindExecutable("sh", path).error().message(),
              "exec: \"sh\": executable file not found in $PATH");
  }
  EXPECT_EQ(FindExecutable("/bin", "").error().message(),
            "exec: \"/bin\": is a directory: permission denied");
}

TEST(Report, ReadyWithAndWithoutATerminalThenTheEnd) {
  auto pair = MakeReportPair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(ReadReport(pair->agent.get()).kind, ProcessReport::Kind::kNothingYet);
  ASSERT_TRUE(ReportReady(pair->child.get(), -1));
  ASSERT_TRUE(ReportReady(pair->child.get(), 0));
  EXPECT_FALSE(ReadReport(pair->agent.get()).terminal.valid());
  EXPECT_TRUE(ReadReport(pair->agent.get()).terminal.valid());
  pair->child.Reset();
  EXPECT_EQ(ReadReport(pair->agent.get()).kind, ProcessReport::Kind::kRunning);
}

TEST(Report, CarriesCodeErrnoAndMessage) {
  auto pair = MakeReportPair();
  ReportFailure(pair->child.get(), Error::FromErrno("open", "/x", EACCES));
  ReportFailure(pair->child.get(), Error(Code::kUnimplemented, std::string(10000, 'x')));
  ProcessReport report = ReadReport(pair->agent.get());
  ASSERT_EQ(report.kind, ProcessReport::Kind::kFailed);
  EXPECT_EQ(report.error.code(), Code::kPermissionDenied);
  EXPECT_EQ(report.error.error_number(), EACCES);
  EXPECT_EQ(report.error.message(), "open \"/x\": Permission denied");
  report = ReadReport(pair->agent.get());
  EXPECT_EQ(report.error.code(), Code::kUnimplemented);
  EXPECT_EQ(report.error.message().size(), 4000u);
}

}  // namespace
}  // namespace kata::guest
