// SPDX-License-Identifier: Apache-2.0
//
// Needs root: real containers on this machine, made from busybox. The test runs itself in a private
// mount namespace; the containers' cgroups are below the version 2 hierarchy where there is one.
#include "guest/agent/container/container.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/deadline.h"
#include "sys/file.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kBusybox[] = "/bin/busybox";

std::string CgroupRoot() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    if (sys::Exists(std::string(path) + "/cgroup.procs")) return path;
  }
  return "";
}

struct Outcome {
  Result<void> made = {};  // the child's own error, if it reported one
  int status = -1;         // of waitpid
  std::string out;
  int exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
};

class ContainerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    // Everything mounted here vanishes with the process.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!sys::Exists(kBusybox)) GTEST_SKIP() << "needs busybox-static";
    if (CgroupRoot().empty()) GTEST_SKIP() << "needs a version 2 cgroup hierarchy";
    char name[] = "/tmp/kata-container-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_TRUE(sys::Mount("test", dir_, "tmpfs", 0, "mode=0755"));
    rootfs_ = dir_ + "/rootfs";
    for (const char* sub : {"/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/root"}) {
      ASSERT_TRUE(sys::MakeDirs(rootfs_ + sub));
    }
    std::filesystem::copy_file(kBusybox, rootfs_ + "/bin/busybox");
    for (const char* applet : {"sh", "cat", "id", "pwd", "hostname", "ls", "stat", "tty", "sleep",
                               "true", "mount", "env", "readlink", "grep", "test", "touch"}) {
      std::filesystem::create_symlink("busybox", fmt::format("{}/bin/{}", rootfs_, applet));
    }
    ASSERT_TRUE(sys::WriteFile(rootfs_ + "/etc/passwd",
                               "root:x:0:0:root:/root:/bin/sh\n"
                               "user:x:1000:1000::/home/user:/bin/sh\n"));
    spec_ = BasicSpec();
  }

  void TearDown() override {
    if (dir_.empty()) return;
    ::umount2(dir_.c_str(), MNT_DETACH);
    ::rmdir(dir_.c_str());
  }

  void AddMount(const std::string& destination, const std::string& type, const std::string& source,
                std::initializer_list<const char*> options) {
    oci::Mount* mount = spec_.mutable_oci()->add_mounts();
    mount->set_destination(destination);
    mount->set_type(type);
    mount->set_source(source);
    for (const char* option : options) mount->add_options(option);
  }

  // A spec such as containerd makes, without the parts that a test is about.
  struct Spec {
    oci::Spec spec;
    oci::Spec* mutable_oci() { return &spec; }
    oci::Process* process() { return spec.mutable_process(); }
    oci::Linux* linux_part() { return spec.mutable_linux(); }
  };

  Spec BasicSpec() {
    Spec made;
    made.spec.mutable_root()->set_path(rootfs_);
    made.process()->set_cwd("/");
    made.process()->add_env("PATH=/bin");
    made.process()->mutable_capabilities();
    const auto mount = [&](const char* destination, const char* type,
                           std::initializer_list<const char*> options) {
      oci::Mount* entry = made.spec.add_mounts();
      entry->set_destination(destination);
      entry->set_type(type);
      entry->set_source(type);
      for (const char* option : options) entry->add_options(option);
    };
    mount("/proc", "proc", {"nosuid", "noexec", "nodev"});
    mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
    mount("/dev/pts", "devpts",
          {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
    return made;
  }

  static void SetArgs(oci::Process* process, std::initializer_list<const char*> args) {
    process->clear_args();
    for (const char* arg : args) process->add_args(arg);
  }
  void SetScript(const std::string& script) {
    SetArgs(spec_.process(), {"sh", "-c", script.c_str()});
  }

  Result<Container::Created> Create(ProcessStdio stdio) {
    ContainerSpec wanted;
    static int serial = 0;
    wanted.id = fmt::format("test-{}-{}", ::getpid(), ++serial);
    wanted.oci = spec_.spec;
    wanted.oci.mutable_linux()->set_cgroups_path("/kata-container-test/" + wanted.id);
    wanted.cgroup_root = CgroupRoot();
    return Container::Create(std::move(wanted), std::move(stdio));
  }

  // Reads reports until one of `kinds`' ends; the last report.
  static ProcessReport Await(const PendingProcess& process) {
    for (;;) {
      if (!sys::WaitFor(process.report.get(), POLLIN, Deadline::After(std::chrono::seconds(20)))) {
        ADD_FAILURE() << "no report";
        return {};
      }
      ProcessReport report = ReadReport(process.report.get());
      if (report.kind != ProcessReport::Kind::kNothingYet) return report;
    }
  }

  static ProcessStdio Captured(sys::Pipe* out) {
    *out = *sys::MakePipe();
    ProcessStdio stdio;
    stdio.out = *sys::Duplicate(out->write.get());
    stdio.err = std::move(out->write);
    return stdio;
  }

  static void Remove(Container* container) {
    (void)container->KillAll();
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    while (true) {
      auto removed = container->Destroy();
      if (removed) return;
      ASSERT_FALSE(deadline.Passed()) << removed.error().message();
      (void)::waitpid(-1, nullptr, WNOHANG);
      ::usleep(2000);
    }
  }

  // Runs the spec from beginning to end.
  Outcome Run() {
    Outcome outcome;
    sys::Pipe out;
    auto created = Create(Captured(&out));
    if (!created) {
      outcome.made = std::unexpected(created.error());
      return outcome;
    }
    Finish(&created->init, out.read.get(), &outcome);
    Remove(created->container.get());
    return outcome;
  }

  static void Finish(PendingProcess* process, int out, Outcome* outcome) {
    ProcessReport report = Await(*process);
    if (report.kind == ProcessReport::Kind::kReady) {
      if (process->start) {
        EXPECT_EQ(::write(process->start.get(), "x", 1), 1);
      }
      report = Await(*process);
    }
    if (report.kind == ProcessReport::Kind::kFailed) {
      outcome->made = std::unexpected(report.error);
    } else {
      outcome->out = sys::ReadToEnd(out, 1 << 20).value_or("");
    }
    EXPECT_EQ(::waitpid(process->pid, &outcome->status, 0), process->pid);
  }

  std::string RunScript(const std::string& script) {
    SetScript(script);
    const Outcome outcome = Run();
    EXPECT_TRUE(outcome.made) << outcome.made.error().message();
    EXPECT_EQ(outcome.exit_code(), 0) << outcome.out;
    return outcome.out;
  }

  Error RunForError() {
    const Outcome outcome = Run();
    if (outcome.made) {
      ADD_FAILURE() << "no error; it said: " << outcome.out;
      return Error(Code::kOk, "");
    }
    return outcome.made.error();
  }

  std::string dir_;
  std::string rootfs_;
  Spec spec_;
};

TEST_F(ContainerTest, RunsAProgramAndPassesItsExitCodeOn) {
  SetScript("echo out; echo err >&2; exit 7");
  const Outcome outcome = Run();
  ASSERT_TRUE(outcome.made) << outcome.made.error().message();
  EXPECT_EQ(outcome.out, "out\nerr\n");
  EXPECT_EQ(outcome.exit_code(), 7);
}

TEST_F(ContainerTest, IsTheFirstProcessOfItsPidNamespace) {
  EXPECT_EQ(RunScript("echo $$; ls /proc | grep -c '^[0-9]'"), "1\n3\n");
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
  oci::User* user = spec_.process()->mutable_user();
  user->set_uid(1000);
  user->set_gid(1001);
  user->add_additional_gids(1002);
  user->add_additional_gids(1003);
  user->set_umask(027);
  EXPECT_EQ(RunScript("id -u; id -g; id -G; umask; echo $HOME"),
            "1000\n1001\n1001 1002 1003\n0027\n/home/user\n");
}

TEST_F(ContainerTest, HasExactlyTheCapabilitiesOfItsSpec) {
  oci::LinuxCapabilities* capabilities = spec_.process()->mutable_capabilities();
  for (const char* name : {"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}) {
    capabilities->add_bounding(name);
    capabilities->add_permitted(name);
    capabilities->add_effective(name);
  }
  capabilities->add_inheritable("CAP_KILL");
  capabilities->add_ambient("CAP_KILL");
  spec_.process()->mutable_user()->set_uid(1000);
  spec_.process()->set_no_new_privileges(true);
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
  spec_.process()->mutable_capabilities()->add_bounding("CAP_UNHEARD_OF");
  EXPECT_THAT(RunForError().message(), HasSubstr("unknown capability \"CAP_UNHEARD_OF\""));
}

TEST_F(ContainerTest, HasTheLimitsOfItsSpec) {
  oci::POSIXRlimit* limit = spec_.process()->add_rlimits();
  limit->set_type("RLIMIT_NOFILE");
  limit->set_soft(100);
  limit->set_hard(200);
  spec_.process()->set_oom_score_adj(500);
  EXPECT_EQ(RunScript("ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"), "100\n200\n500\n");
}

TEST_F(ContainerTest, MakesItsWorkingDirectory) {
  spec_.process()->set_cwd("/made/for/../it");
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/made/for"));
  EXPECT_EQ(RunScript("pwd"), "/made/it\n");
}

TEST_F(ContainerTest, HasTheEnvironmentOfItsSpec) {
  spec_.process()->add_env("A=1");
  spec_.process()->add_env("A=2");
  spec_.process()->add_env("B=x=y");
  EXPECT_EQ(RunScript("env | grep -E '^(A|B|HOME)=' | sort"), "A=2\nB=x=y\nHOME=/root\n");
}

TEST_F(ContainerTest, HasAHostNameAndADomainName) {
  spec_.spec.set_hostname("guesthost");
  spec_.spec.set_domainname("guestdomain");
  EXPECT_EQ(RunScript("hostname; cat /proc/sys/kernel/domainname"), "guesthost\nguestdomain\n");
}

TEST_F(ContainerTest, SetsSysctlsOfItsNamespaces) {
  (*spec_.linux_part()->mutable_sysctl())["kernel.shm_rmid_forced"] = "1";
  (*spec_.linux_part()->mutable_sysctl())["kernel.msgmax"] = "16384";
  EXPECT_EQ(RunScript("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax"),
            "1\n16384\n");
}

TEST_F(ContainerTest, HasTheDefaultDevices) {
  const std::string seen = RunScript(
      "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$d; done; "
      "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; "
      "echo x > /dev/null");
  EXPECT_EQ(seen,
            "/dev/null 666 1:3\n/dev/zero 666 1:5\n/dev/full 666 1:7\n/dev/random 666 1:8\n"
            "/dev/urandom 666 1:9\n/dev/tty 666 5:0\n/proc/self/fd\n/proc/self/fd/0\n"
            "/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
}

TEST_F(ContainerTest, MakesTheDevicesOfItsSpec) {
  oci::LinuxDevice* device = spec_.linux_part()->add_devices();
  device->set_path("/dev/sub/own");
  device->set_type("c");
  device->set_major(1);
  device->set_minor(3);
  device->set_file_mode(0640);
  device->set_uid(5);
  device->set_gid(6);
  EXPECT_EQ(RunScript("stat -c '%F %a %t:%T %u %g' /dev/sub/own"),
            "character special file 640 1:3 5 6\n");
}

TEST_F(ContainerTest, MasksPaths) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/secret-dir"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/secret-dir/file", "hidden"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/secret-file", "hidden"));
  for (const char* path : {"/secret-dir", "/secret-file", "/missing", "/proc/meminfo"}) {
    spec_.linux_part()->add_masked_paths(path);
  }
  EXPECT_EQ(
      RunScript("ls /secret-dir; cat /secret-file; touch /secret-dir/x 2>/dev/null || echo no;"
                "stat -c %t:%T /proc/meminfo"),
      "no\n1:3\n");
}

TEST_F(ContainerTest, MakesPathsReadOnly) {
  spec_.linux_part()->add_readonly_paths("/proc/sys");
  spec_.linux_part()->add_readonly_paths("/missing");
  EXPECT_EQ(RunScript("echo x 2>/dev/null > /proc/sys/kernel/hostname || echo no"), "no\n");
}

TEST_F(ContainerTest, HasAReadOnlyRootIfAsked) {
  spec_.mutable_oci()->mutable_root()->set_readonly(true);
  AddMount("/tmp", "tmpfs", "tmpfs", {"nosuid"});
  EXPECT_EQ(RunScript("touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes"), "no\nyes\n");
}

TEST_F(ContainerTest, SeesOnlyItsOwnMounts) {
  const std::string mounts = RunScript("cat /proc/self/mountinfo");
  EXPECT_THAT(mounts, Not(HasSubstr(dir_ + " ")));
  int count = 0;
  for (const sys::MountInfo& mount : sys::ParseMountInfo(mounts)) {
    ++count;
    EXPECT_EQ(mount.propagation, "") << mount.mount_point;
  }
  EXPECT_EQ(count, 4) << mounts;
}

TEST_F(ContainerTest, BindsDirectoriesAndFilesWithTheirOptions) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/volume/file", "content\n"));
  AddMount("/rw", "bind", dir_ + "/volume", {"rbind", "rw"});
  AddMount("/ro", "bind", dir_ + "/volume", {"bind", "ro", "nosuid", "noexec"});
  AddMount("/etc/one/file", "", dir_ + "/volume/file", {"bind", "ro"});
  EXPECT_EQ(RunScript("touch /rw/new && echo yes; touch /ro/new2 2>/dev/null || echo no;"
                      "cat /etc/one/file; echo x 2>/dev/null > /etc/one/file || echo no;"
                      "grep -c ' /ro ro,nosuid,noexec' /proc/self/mountinfo"),
            "yes\nno\ncontent\nno\n1\n");
  EXPECT_TRUE(sys::Exists(dir_ + "/volume/new"));
}

TEST_F(ContainerTest, RecursiveReadOnlyReachesMountsBelow) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume/below"));
  ASSERT_TRUE(sys::Mount("below", dir_ + "/volume/below", "tmpfs", 0));
  AddMount("/top", "bind", dir_ + "/volume", {"rbind", "ro"});
  AddMount("/all", "bind", dir_ + "/volume", {"rbind", "rro"});
  EXPECT_EQ(RunScript("touch /top/below/x && echo yes; touch /all/below/y 2>/dev/null || echo no"),
            "yes\nno\n");
  ::umount2((dir_ + "/volume/below").c_str(), MNT_DETACH);
}

TEST_F(ContainerTest, SetsPropagationOfMounts) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  AddMount("/shared", "bind", dir_ + "/volume", {"rbind", "rshared"});
  EXPECT_THAT(RunScript("grep ' /shared ' /proc/self/mountinfo"), HasSubstr("shared:"));
}

TEST_F(ContainerTest, CopiesUpWhatATmpfsHides) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/data/sub"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/data/sub/file", "kept\n", 0600));
  std::filesystem::create_symlink("sub/file", rootfs_ + "/data/link");
  AddMount("/data", "tmpfs", "tmpfs", {"tmpcopyup", "ro"});
  EXPECT_EQ(RunScript("cat /data/link; stat -c %a /data/sub/file;"
                      "touch /data/x 2>/dev/null || echo no; grep -c ' /data ' /proc/mounts"),
            "kept\n600\nno\n1\n");
}

TEST_F(ContainerTest, KeepsTheModeOfADirectoryUnderATmpfs) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/own"));
  ASSERT_EQ(::chmod((rootfs_ + "/own").c_str(), 01750), 0);
  AddMount("/own", "tmpfs", "tmpfs", {});
  AddMount("/tmp", "tmpfs", "tmpfs", {"mode=1777"});
  EXPECT_EQ(RunScript("stat -c %a /own /tmp"), "1750\n1777\n");
}

TEST_F(ContainerTest, MountsTheUsualKernelFileSystems) {
  AddMount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
  AddMount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"});
  AddMount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  AddMount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"});
  const std::string seen = RunScript(
      "grep -cE ' /(sys|dev/mqueue|dev/shm|sys/fs/cgroup) (sysfs|mqueue|tmpfs|cgroup2) ' "
      "/proc/mounts; cat /proc/self/cgroup | grep ^0; cat /sys/fs/cgroup/cgroup.procs");
  EXPECT_EQ(seen, "4\n0::/\n1\n" + seen.substr(std::string("4\n0::/\n1\n").size()));
}

TEST_F(ContainerTest, HasATerminalOfItsOwn) {
  spec_.process()->set_terminal(true);
  spec_.process()->mutable_console_size()->set_height(33);
  spec_.process()->mutable_console_size()->set_width(77);
  SetScript("tty; stty size; stat -c %t /dev/console; echo x > /dev/tty; echo y > /dev/console");
  std::filesystem::create_symlink("busybox", rootfs_ + "/bin/stty");
  ProcessStdio stdio;
  stdio.terminal = true;
  auto created = Create(std::move(stdio));
  ASSERT_TRUE(created) << created.error().message();
  ProcessReport report = Await(created->init);
  ASSERT_EQ(report.kind, ProcessReport::Kind::kReady) << report.error.message();
  ASSERT_TRUE(report.terminal.valid());
  ASSERT_EQ(::write(created->init.start.get(), "x", 1), 1);
  std::string out;
  char buffer[512];
  // The end of a terminal is an error, EIO.
  for (ssize_t n; (n = ::read(report.terminal.get(), buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_EQ(out, "/dev/pts/0\r\n33 77\r\n88\r\nx\r\ny\r\n");
  int status = 0;
  EXPECT_EQ(::waitpid(created->init.pid, &status, 0), created->init.pid);
  Remove(created->container.get());
}

TEST_F(ContainerTest, WordsMissingProgramsAsRuncDoes) {
  SetArgs(spec_.process(), {"nosuchprogram"});
  Error error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"nosuchprogram\": executable file not found in $PATH");
  EXPECT_EQ(error.code(), Code::kNotFound);

  SetArgs(spec_.process(), {"/no/such"});
  error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"/no/such\": stat /no/such: no such file or directory");
  EXPECT_EQ(error.error_number(), ENOENT);

  SetArgs(spec_.process(), {"/etc/passwd"});
  error = RunForError();
  EXPECT_EQ(error.message(), "exec: \"/etc/passwd\": permission denied");
  EXPECT_EQ(error.code(), Code::kPermissionDenied);

  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/bin/garbage", "\x01\x02\x03 not a program", 0755));
  SetArgs(spec_.process(), {"garbage"});
  EXPECT_EQ(RunForError().message(), "exec /bin/garbage: exec format error");
}

TEST_F(ContainerTest, RefusesKernelFileSystemsOverSymbolicLinks) {
  for (const char* name : {"proc", "dev"}) {
    std::filesystem::remove(rootfs_ + "/" + name);
    std::filesystem::create_symlink("/etc", rootfs_ + "/" + name);
    SetScript("true");
    EXPECT_THAT(RunForError().message(), HasSubstr("must be an ordinary directory")) << name;
    std::filesystem::remove(rootfs_ + "/" + name);
    std::filesystem::create_directory(rootfs_ + "/" + name);
  }
}

TEST_F(ContainerTest, FollowsSymbolicLinksOfTheImageOnlyInside) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/outside"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/volume/file", "volume\n"));
  std::filesystem::create_symlink("../../../.." + dir_ + "/outside", rootfs_ + "/up");
  std::filesystem::create_symlink(dir_ + "/outside", rootfs_ + "/absolute");
  std::filesystem::create_symlink("/proc/1/root", rootfs_ + "/magic");
  AddMount("/up/a", "bind", dir_ + "/volume", {"bind"});
  AddMount("/absolute/b", "bind", dir_ + "/volume", {"bind"});
  AddMount("/up/dir/file", "bind", dir_ + "/volume/file", {"bind"});
  EXPECT_EQ(RunScript("cat /up/a/file /absolute/b/file /up/dir/file"), "volume\nvolume\nvolume\n");
  EXPECT_TRUE(std::filesystem::is_empty(dir_ + "/outside"));
  EXPECT_TRUE(std::filesystem::exists(rootfs_ + dir_ + "/outside/a"));

  AddMount("/magic/tmp", "bind", dir_ + "/volume", {"bind"});
  SetScript("true");
  EXPECT_THAT(RunForError().message(), HasSubstr("/magic"));
}

TEST_F(ContainerTest, RefusesMountsInsideProc) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/file", "replaced\n"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  std::filesystem::create_symlink("/proc/sys", rootfs_ + "/trick");
  SetScript("cat /proc/uptime");
  AddMount("/proc/uptime", "bind", dir_ + "/file", {"bind"});
  EXPECT_EQ(RunScript("cat /proc/uptime"), "replaced\n");

  const int mounts = spec_.spec.mounts_size();
  for (const char* target : {"/proc/sys/kernel", "/proc/self/attr", "/trick/kernel", "/proc"}) {
    spec_.mutable_oci()->mutable_mounts()->DeleteSubrange(mounts,
                                                          spec_.spec.mounts_size() - mounts);
    AddMount(target, "bind", dir_ + "/volume", {"bind"});
    EXPECT_THAT(RunForError().message(), ContainsRegex("cannot be mounted")) << target;
    spec_.mutable_oci()->mutable_mounts()->RemoveLast();
    AddMount(target, "tmpfs", "tmpfs", {});
    EXPECT_THAT(RunForError().message(), ContainsRegex("cannot be mounted")) << target;
  }
}

TEST_F(ContainerTest, LeaksNoDescriptorOfTheAgent) {
  const sys::UniqueFd leak = *sys::Open(dir_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(sys::SetCloseOnExec(leak.get(), false));
  EXPECT_EQ(RunScript("ls /proc/self/fd | grep -vE '^[0-3]$' || echo none"), "none\n");

  spec_.process()->set_cwd(fmt::format("/proc/self/fd/{}", leak.get()));
  SetScript("pwd");
  EXPECT_THAT(RunForError().message(), HasSubstr("cwd"));
}

TEST_F(ContainerTest, RefusesNamespacesThatItDoesNotSupport) {
  SetScript("true");
  spec_.linux_part()->add_namespaces()->set_type("user");
  const Error error = RunForError();
  EXPECT_EQ(error.code(), Code::kUnimplemented);
  EXPECT_THAT(error.message(), HasSubstr("user namespaces"));
}

class ExecTest : public ContainerTest {
 protected:
  void Begin() {
    SetArgs(spec_.process(), {"sleep", "1000"});
    auto created = Create({});
    ASSERT_TRUE(created) << created.error().message();
    const ProcessReport report = Await(created->init);
    ASSERT_EQ(report.kind, ProcessReport::Kind::kReady) << report.error.message();
    ASSERT_EQ(::write(created->init.start.get(), "x", 1), 1);
    ASSERT_EQ(Await(created->init).kind, ProcessReport::Kind::kRunning);
    container_ = std::move(created->container);
    init_ = created->init.pid;
  }

  void TearDown() override {
    if (container_) {
      Remove(container_.get());
      (void)::waitpid(init_, nullptr, WNOHANG);
    }
    ContainerTest::TearDown();
  }

  static oci::Process Script(const std::string& script) {
    oci::Process process;
    process.set_cwd("/");
    process.add_env("PATH=/bin");
    SetArgs(&process, {"sh", "-c", script.c_str()});
    return process;
  }

  Outcome Exec(const oci::Process& process) {
    Outcome outcome;
    sys::Pipe out;
    auto started = container_->Exec(process, Captured(&out));
    if (!started) {
      outcome.made = std::unexpected(started.error());
      return outcome;
    }
    Finish(&*started, out.read.get(), &outcome);
    return outcome;
  }

  std::unique_ptr<Container> container_;
  pid_t init_ = -1;
};

TEST_F(ExecTest, SeesTheSameNamespacesAsTheFirstProcess) {
  spec_.spec.set_hostname("same");
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
  oci::LinuxCapabilities* capabilities = spec_.process()->mutable_capabilities();
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
  EXPECT_THAT(Exec(process).made.error().message(), HasSubstr("chdir to cwd \"/missing\""));
}

TEST_F(ExecTest, HasATerminalOfItsOwn) {
  Begin();
  ProcessStdio stdio;
  stdio.terminal = true;
  auto started = container_->Exec(Script("tty"), std::move(stdio));
  ASSERT_TRUE(started) << started.error().message();
  const ProcessReport report = Await(*started);
  ASSERT_TRUE(report.terminal.valid()) << report.error.message();
  char buffer[64];
  const ssize_t n = ::read(report.terminal.get(), buffer, sizeof buffer);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string_view(buffer, static_cast<size_t>(n)), "/dev/pts/0\r\n");
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
