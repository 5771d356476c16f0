// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/container_test_bed.h"

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>

#include "base/deadline.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

constexpr char kBusybox[] = "/bin/busybox";
constexpr std::chrono::seconds kPatience(20);

}  // namespace

std::string CgroupRootOfMachine() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    if (sys::Exists(std::string(path) + "/cgroup.procs")) return path;
  }
  return "";
}

int Outcome::exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

void ContainerTest::SetUpTestSuite() {
  static bool done = false;
  if (::geteuid() != 0 || std::exchange(done, true)) return;
  // Everything mounted here vanishes with the process.
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_TRUE(sys::MakeRootPivotable());
}

void ContainerTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  if (!sys::Exists(kBusybox)) GTEST_SKIP() << "needs busybox-static";
  if (CgroupRootOfMachine().empty()) GTEST_SKIP() << "needs a version 2 cgroup hierarchy";
  char name[] = "/tmp/kata-container-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  dir_ = name;
  ASSERT_TRUE(sys::Mount("test", dir_, "tmpfs", 0, "mode=0755"));
  rootfs_ = dir_ + "/rootfs";
  for (const char* sub : {"/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/root"}) {
    ASSERT_TRUE(sys::MakeDirs(rootfs_ + sub));
  }
  std::filesystem::copy_file(kBusybox, rootfs_ + "/bin/busybox");
  for (const char* applet : {"cat",  "dd",    "env",  "grep",     "head",  "hostname", "id",
                             "ls",   "mount", "pwd",  "readlink", "sh",    "sleep",    "sort",
                             "stat", "stty",  "tail", "test",     "touch", "true",     "tty"}) {
    std::filesystem::create_symlink("busybox", fmt::format("{}/bin/{}", rootfs_, applet));
  }
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/etc/passwd",
                             "root:x:0:0:root:/root:/bin/sh\n"
                             "user:x:1000:1000::/home/user:/bin/sh\n"));
  spec_.mutable_root()->set_path(rootfs_);
  process()->set_cwd("/");
  process()->add_env("PATH=/bin");
  process()->mutable_capabilities();
  AddMount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"});
  AddMount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  AddMount("/dev/pts", "devpts", "devpts",
           {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
}

void ContainerTest::TearDown() {
  if (dir_.empty()) return;
  ::umount2(dir_.c_str(), MNT_DETACH);
  ::rmdir(dir_.c_str());
}

void ContainerTest::AddMount(const std::string& destination, const std::string& type,
                             const std::string& source,
                             std::initializer_list<const char*> options) {
  oci::Mount* mount = spec_.add_mounts();
  mount->set_destination(destination);
  mount->set_type(type);
  mount->set_source(source);
  for (const char* option : options) mount->add_options(option);
}

void ContainerTest::SetArgs(oci::Process* process, std::initializer_list<const char*> args) {
  process->clear_args();
  for (const char* arg : args) process->add_args(arg);
}

void ContainerTest::SetScript(const std::string& script) {
  SetArgs(process(), {"sh", "-c", script.c_str()});
}

Result<Container::Created> ContainerTest::Create(ProcessStdio stdio) {
  static int serial = 0;
  ContainerSpec wanted;
  wanted.id = fmt::format("test-{}-{}", ::getpid(), ++serial);
  wanted.oci = spec_;
  wanted.oci.mutable_linux()->set_cgroups_path("/kata-container-test/" + wanted.id);
  wanted.cgroup_root = CgroupRootOfMachine();
  return Container::Create(std::move(wanted), std::move(stdio));
}

ProcessReport ContainerTest::Await(const PendingProcess& process) {
  for (;;) {
    if (!sys::WaitFor(process.report.get(), POLLIN, Deadline::After(kPatience))) {
      ADD_FAILURE() << "no report";
      return {};
    }
    ProcessReport report = ReadReport(process.report.get());
    if (report.kind != ProcessReport::Kind::kNothingYet) return report;
  }
}

ProcessStdio ContainerTest::Captured(sys::Pipe* out) {
  *out = *sys::MakePipe();
  ProcessStdio stdio;
  stdio.out = *sys::Duplicate(out->write.get());
  stdio.err = std::move(out->write);
  return stdio;
}

std::string ContainerTest::ReadTerminal(int master) {
  std::string out;
  char buffer[512];
  // Its end is an error, EIO.
  for (ssize_t n; (n = ::read(master, buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<size_t>(n));
  }
  return out;
}

void ContainerTest::Finish(PendingProcess* process, int out, Outcome* outcome) {
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

void ContainerTest::Remove(Container* container) {
  (void)container->KillAll();
  const Deadline deadline = Deadline::After(kPatience);
  for (auto removed = container->Destroy(); !removed; removed = container->Destroy()) {
    ASSERT_FALSE(deadline.Passed()) << removed.error().message();
    (void)::waitpid(-1, nullptr, WNOHANG);
    ::usleep(2000);
  }
}

Outcome ContainerTest::Run() {
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

std::string ContainerTest::RunScript(const std::string& script) {
  SetScript(script);
  const Outcome outcome = Run();
  if (!outcome.made) {
    ADD_FAILURE() << outcome.made.error().message();
  } else {
    EXPECT_EQ(outcome.exit_code(), 0) << outcome.out;
  }
  return outcome.out;
}

std::string ContainerTest::RunInTerminal(const std::string& script) {
  process()->set_terminal(true);
  SetScript(script);
  ProcessStdio stdio;
  stdio.terminal = true;
  auto created = Create(std::move(stdio));
  if (!created) {
    ADD_FAILURE() << created.error().message();
    return "";
  }
  PendingProcess& init = created->init;
  const ProcessReport report = Await(init);
  EXPECT_EQ(report.kind, ProcessReport::Kind::kReady) << report.error.message();
  EXPECT_TRUE(report.terminal.valid());
  EXPECT_EQ(::write(init.start.get(), "x", 1), 1);
  std::string out = ReadTerminal(report.terminal.get());
  EXPECT_EQ(::waitpid(init.pid, nullptr, 0), init.pid);
  Remove(created->container.get());
  return out;
}

Error ContainerTest::RunForError() {
  const Outcome outcome = Run();
  if (outcome.made) {
    ADD_FAILURE() << "no error; it said: " << outcome.out;
    return Error(Code::kOk, "");
  }
  return outcome.made.error();
}

void ExecTest::Begin() {
  SetArgs(process(), {"sleep", "1000"});
  auto created = Create({});
  ASSERT_TRUE(created) << created.error().message();
  const ProcessReport report = Await(created->init);
  ASSERT_EQ(report.kind, ProcessReport::Kind::kReady) << report.error.message();
  ASSERT_EQ(::write(created->init.start.get(), "x", 1), 1);
  ASSERT_EQ(Await(created->init).kind, ProcessReport::Kind::kRunning);
  container_ = std::move(created->container);
  init_ = created->init.pid;
}

void ExecTest::TearDown() {
  if (container_) {
    Remove(container_.get());
    (void)::waitpid(init_, nullptr, WNOHANG);
  }
  ContainerTest::TearDown();
}

oci::Process ExecTest::Script(const std::string& script) {
  oci::Process made;
  made.set_cwd("/");
  made.add_env("PATH=/bin");
  SetArgs(&made, {"sh", "-c", script.c_str()});
  return made;
}

Outcome ExecTest::Exec(const oci::Process& wanted) {
  Outcome outcome;
  sys::Pipe out;
  auto started = container_->Exec(wanted, Captured(&out));
  if (!started) {
    outcome.made = std::unexpected(started.error());
    return outcome;
  }
  Finish(&*started, out.read.get(), &outcome);
  return outcome;
}

}  // namespace kata::guest
