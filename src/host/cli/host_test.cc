// SPDX-License-Identifier: Apache-2.0
#include "host/cli/host.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/cli/checks.h"

namespace kata::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A folder that stands for a machine.
class HostTest : public testing::Test {
 protected:
  HostTest() {
    std::string pattern = testing::TempDir() + "kata-cli-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    fs::create_directories(root_ + "/run");
    Write("/proc/cpuinfo",
          "processor\t: 0\nmodel name\t: Cpu 9000\nflags\t\t: fpu vmx lm\n\n"
          "processor\t: 1\nmodel name\t: Other\nflags\t\t: fpu svm\n");
    Write("/proc/meminfo", "MemTotal:  16777216 kB\nMemAvailable:   8388608 kB\n");
    Write("/proc/mounts", "none /sys/fs/cgroup cgroup2 rw 0 0\n");
    Write("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    for (const char* device : {"/dev/kvm", "/dev/vhost-vsock", "/dev/vhost-net", "/dev/net/tun"}) {
      Write(device, "");
    }
  }
  ~HostTest() override { fs::remove_all(root_); }

  std::string Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
    return root_ + path;
  }
  Finding Find(const std::string& name) {
    for (const Finding& finding : CheckHost(root_, {})) {
      if (finding.name == name) return finding;
    }
    ADD_FAILURE() << "no finding called " << name;
    return {};
  }

  std::string root_;
};

TEST_F(HostTest, ReadsTheFirstProcessor) {
  EXPECT_EQ(ReadCpu(root_).model, "Cpu 9000");
  EXPECT_EQ(ReadCpu(root_).virtualization, "vmx");
  EXPECT_EQ(Find("cpu").verdict, Verdict::kOk);
}

TEST_F(HostTest, NotesAProcessorWithoutVirtualizationWithARemedy) {
  Write("/proc/cpuinfo", "model name : Old\nflags : fpu\n");
  const Finding finding = Find("cpu");
  EXPECT_EQ(finding.verdict, Verdict::kNote);
  EXPECT_THAT(finding.detail, HasSubstr("neither vmx nor svm"));
  EXPECT_THAT(finding.remedy, HasSubstr("firmware"));
}

TEST_F(HostTest, TellsCgroupLayoutsApart) {
  EXPECT_EQ(ReadCgroups(root_).layout, "v2");
  EXPECT_THAT(ReadCgroups(root_).v2_controllers, ElementsAre("cpu", "memory", "pids"));
  const std::string v1 =
      "cg /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
      "cg /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n";
  Write("/proc/mounts", v1);
  EXPECT_EQ(ReadCgroups(root_).layout, "v1");
  EXPECT_THAT(ReadCgroups(root_).v1_controllers, ElementsAre("memory", "cpu"));
  Write("/proc/mounts", v1 + "none /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
  EXPECT_EQ(ReadCgroups(root_).layout, "hybrid");
  Write("/proc/mounts", "proc /proc proc rw 0 0\n");
  EXPECT_EQ(ReadCgroups(root_).layout, "none");
  EXPECT_EQ(Find("cgroups").verdict, Verdict::kNote);
}

TEST_F(HostTest, MissingDevicesAreNotesThatSayWhatHappensInstead) {
  fs::remove(root_ + "/dev/vhost-vsock");
  const Finding finding = Find("vhost-vsock");
  EXPECT_EQ(finding.verdict, Verdict::kNote);
  EXPECT_THAT(finding.detail, HasSubstr("virtio-serial"));
  EXPECT_EQ(finding.remedy, "modprobe vhost_vsock");
  EXPECT_EQ(Find("tun").verdict, Verdict::kOk);
}

TEST_F(HostTest, LittleMemoryIsAProblem) {
  EXPECT_EQ(Find("memory").verdict, Verdict::kOk);
  Write("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n");
  EXPECT_EQ(Find("memory").verdict, Verdict::kNote);
  Write("/proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 102400 kB\n");
  EXPECT_EQ(Find("memory").verdict, Verdict::kProblem);
}

TEST_F(HostTest, AMissingRunDirectoryIsAProblem) {
  EXPECT_NE(Find("/run").verdict, Verdict::kProblem);
  fs::remove(root_ + "/run");
  EXPECT_EQ(Find("/run").verdict, Verdict::kProblem);
}

TEST_F(HostTest, FindsVersionsInWhatProgramsPrint) {
  const struct {
    const char* output;
    const char* version;
  } cases[] = {
      {"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"},
      {"virtiofsd 1.13.2", "1.13.2"},
      {"virtiofsd version 7.2.22 (Debian 1:7.2)", "7.2.22"},
      {"v8086 tool 10.0. Done", "10.0"},
  };
  for (const auto& c : cases) {
    const std::string program = Write("/tool", std::string("#!/bin/sh\necho '") + c.output + "'\n");
    ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
    const auto version = ProgramVersion(program);
    ASSERT_TRUE(version) << version.error().message();
    EXPECT_EQ(*version, c.version);
  }
  EXPECT_EQ(MajorVersion("10.0.2"), 10);
  EXPECT_EQ(MajorVersion(""), 0);

  const std::string silent = Write("/silent", "#!/bin/sh\nexit 0\n");
  ASSERT_EQ(::chmod(silent.c_str(), 0755), 0);
  EXPECT_FALSE(ProgramVersion(silent));
  EXPECT_FALSE(ProgramVersion(root_ + "/missing"));
}

TEST_F(HostTest, FindsTheReleaseOfAKernel) {
  const std::string kernel = Write("/vmlinux", std::string("...Linux version %s (%s)\n") + '\0' +
                                                   "Linux version 6.12.9 (builder@host)");
  EXPECT_EQ(GuestKernelRelease(kernel), "6.12.9");
  EXPECT_EQ(GuestKernelRelease(Write("/bzImage", "compressed")), std::nullopt);
  EXPECT_EQ(GuestKernelRelease(root_ + "/missing"), std::nullopt);
}

TEST(RenderText, ShowsRemediesAndAConclusion) {
  const std::vector<Finding> findings = {
      {"cpu", Verdict::kOk, "fine", ""},
      {"qemu", Verdict::kProblem, "no QEMU", "install it"},
  };
  const std::string plain = RenderText(findings, false);
  EXPECT_THAT(plain, HasSubstr("ok       cpu"));
  EXPECT_THAT(plain, HasSubstr("to mend: install it"));
  EXPECT_THAT(plain, HasSubstr("cannot run containers with kata: 1 problem to solve"));
  EXPECT_EQ(plain.find('\033'), plain.npos);
  EXPECT_NE(RenderText(findings, true).find("\033[31m"), plain.npos);
  EXPECT_THAT(RenderJson(findings), HasSubstr("\"ok\": false"));
}

}  // namespace
}  // namespace kata::cli
