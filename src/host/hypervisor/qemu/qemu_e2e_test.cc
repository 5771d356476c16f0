// SPDX-License-Identifier: Apache-2.0
//
// The driver against real QEMUs and a guest of its own.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/registry.h"
#include "host/hypervisor/testing/test_guest.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Ask;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Deadline Soon() { return Deadline::After(seconds(60)); }

class QemuE2e : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (testing::KernelPath().empty()) GTEST_SKIP() << "the guest kernel has not been built";
    const auto written = testing::WriteTestInitrd(dir_ / "initrd");
    ASSERT_TRUE(written) << written.error().message();
  }

  VmSpec Spec() {
    VmSpec spec;
    spec.id = "test";
    spec.vmm_path = GetParam();
    spec.kernel = testing::KernelPath();
    spec.initrd = dir_ / "initrd";
    spec.memory = {.boot_mib = 256, .hotplug_slots = 4, .max_mib = 2048};
    spec.cpus = {.boot = 1, .max = 4};
    // Tests wait for what the guest says, so it says what it sees.
    spec.kernel_params = {"loglevel=6"};
    return spec;
  }

  // Starts and waits until the guest's first process answers.
  void Boot(VmSpec spec) {
    vm_ = Make();
    exited_ = std::make_shared<std::promise<VmExit>>();
    vm_->OnExit([exited = exited_](const VmExit& exit) { exited->set_value(exit); });
    const auto begin = std::chrono::steady_clock::now();
    const auto started = vm_->Start(std::move(spec), Soon());
    ASSERT_TRUE(started) << started.error().message();
    const auto running = std::chrono::steady_clock::now();
    agent_ = *vm_->ConnectAgent(Soon());
    ASSERT_EQ(Ask(agent_.get(), "echo hello"), "hello") << vm_->ConsoleTail(20);
    const auto answered = std::chrono::steady_clock::now();
    RecordProperty("start_ms", static_cast<int>((running - begin) / milliseconds(1)));
    RecordProperty("first_answer_ms", static_cast<int>((answered - begin) / milliseconds(1)));
    fmt::print("monitor after {} ms, first answer after {} ms\n",
               (running - begin) / milliseconds(1), (answered - begin) / milliseconds(1));
  }

  std::unique_ptr<Hypervisor> Make() { return (*FindVmm(kQemu.name))->make(loop_.loop()); }

  VmExit AwaitExit() {
    auto future = exited_->get_future();
    if (future.wait_for(seconds(30)) != std::future_status::ready) {
      ADD_FAILURE() << "no exit was reported";
      return {};
    }
    return future.get();
  }

  std::string DiskFile(const std::string& name, off_t size) {
    const std::string path = dir_ / name;
    EXPECT_TRUE(sys::WriteFile(path, ""));
    EXPECT_EQ(::truncate(path.c_str(), size), 0);
    return path;
  }

  testing::TempDir dir_;
  testing::LoopThread loop_;
  std::shared_ptr<std::promise<VmExit>> exited_;
  std::unique_ptr<Hypervisor> vm_;
  sys::UniqueFd agent_;
};

TEST_P(QemuE2e, BootsPausesResumesAndStops) {
  Boot(Spec());
  EXPECT_THAT(vm_->ConsoleTail(10), HasSubstr("test guest is up"));
  EXPECT_GT(vm_->pid(), 0);

  ASSERT_TRUE(vm_->Pause(Soon()));
  EXPECT_EQ(Ask(agent_.get(), "echo late", Deadline::After(milliseconds(300))),
            "no answer in time");
  ASSERT_TRUE(vm_->Resume(Soon()));
  // The line that waited is answered first.
  EXPECT_EQ(Ask(agent_.get(), "echo more"), "late");
  EXPECT_EQ(vm_->Start(Spec(), Soon()).error().code(), Code::kFailedPrecondition);

  const pid_t pid = vm_->pid();
  const auto begin = std::chrono::steady_clock::now();
  vm_->Stop(seconds(5));
  fmt::print("stopped in {} ms\n", (std::chrono::steady_clock::now() - begin) / milliseconds(1));
  EXPECT_EQ(::kill(pid, 0), -1);
  const VmExit exit = AwaitExit();
  EXPECT_EQ(exit.reason, VmExit::Reason::kStopped);
  EXPECT_TRUE(exit.status.Success()) << exit.status.Describe();
  vm_->Stop(seconds(5));
  EXPECT_EQ(vm_->Pause(Soon()).error().code(), Code::kUnavailable);
}

TEST_P(QemuE2e, AttachesAndDetachesScsiDisks) {
  Boot(Spec());
  const std::string image = DiskFile("a.img", 1 << 20);
  const auto begin = std::chrono::steady_clock::now();
  Disk disk{.id = "disk-a", .path = image, .read_only = true};
  auto address = vm_->Attach(std::move(disk), Soon());
  ASSERT_TRUE(address) << address.error().message();
  EXPECT_EQ(address->scsi, "0:0");
  EXPECT_THAT(Ask(agent_.get(), "disk scsi 0:0"), ::testing::EndsWith(" 2048 1"));
  fmt::print("scsi disk in {} ms\n", (std::chrono::steady_clock::now() - begin) / milliseconds(1));

  Disk second{.id = "disk-b", .path = DiskFile("b.img", 2 << 20)};
  auto second_address = vm_->Attach(std::move(second), Soon());
  ASSERT_TRUE(second_address) << second_address.error().message();
  EXPECT_EQ(second_address->scsi, "0:1");
  EXPECT_THAT(Ask(agent_.get(), "disk scsi 0:1"), ::testing::EndsWith(" 4096 0"));

  Disk again{.id = "disk-b", .path = image};
  EXPECT_EQ(vm_->Attach(std::move(again), Soon()).error().code(), Code::kAlreadyExists);
  Disk missing{.id = "disk-c", .path = dir_ / "none"};
  const auto failed = vm_->Attach(std::move(missing), Soon());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kNotFound);

  const auto detached = vm_->Detach("disk-a", Soon());
  ASSERT_TRUE(detached) << detached.error().message();
  EXPECT_EQ(vm_->Detach("disk-a", Soon()).error().code(), Code::kNotFound);
  EXPECT_EQ(Ask(agent_.get(), "no-disk scsi 0:0"), "gone");
  Disk third{.id = "disk-a", .path = image, .read_only = true};
  EXPECT_EQ(vm_->Attach(std::move(third), Soon())->scsi, "0:0");
}

TEST_P(QemuE2e, AttachesAndDetachesPciDisks) {
  Boot(Spec());
  const auto begin = std::chrono::steady_clock::now();
  Disk disk{.id = "disk-p", .path = DiskFile("p.img", 1 << 20), .bus = Disk::Bus::kBlock};
  auto address = vm_->Attach(std::move(disk), Soon());
  ASSERT_TRUE(address) << address.error().message();
  EXPECT_EQ(address->pci_path, "0f/00");
  EXPECT_THAT(Ask(agent_.get(), "disk pci " + address->pci_path), HasSubstr(" 2048 0"));
  fmt::print("pci disk in {} ms\n", (std::chrono::steady_clock::now() - begin) / milliseconds(1));
  const auto detached = vm_->Detach("disk-p", Soon());
  ASSERT_TRUE(detached) << detached.error().message();
  EXPECT_EQ(Ask(agent_.get(), "no-disk pci 0f/00"), "gone");
}

// A tap of the host that nobody else knows, gone with its descriptor.
Result<sys::UniqueFd> MakeTap() {
  sys::UniqueFd tap = KATA_TRY(sys::Open("/dev/net/tun", O_RDWR));
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) return FailErrno("TUNSETIFF");
  return tap;
}

TEST_P(QemuE2e, AttachesAndDetachesNics) {
  auto tap = MakeTap();
  if (!tap) GTEST_SKIP() << "no tap device: " << tap.error().message();
  Boot(Spec());
  const auto begin = std::chrono::steady_clock::now();
  Nic nic{.id = "nic0", .mac = {0x02, 0, 0, 0xaa, 0xbb, 0xcc}};
  nic.tap_fds.push_back(*std::move(tap));
  auto address = vm_->Attach(std::move(nic), Soon());
  ASSERT_TRUE(address) << address.error().message();
  EXPECT_EQ(address->pci_path, "0f/00");
  EXPECT_THAT(Ask(agent_.get(), "nic 02:00:00:aa:bb:cc"), StartsWith("eth"));
  fmt::print("nic in {} ms\n", (std::chrono::steady_clock::now() - begin) / milliseconds(1));
  const auto detached = vm_->Detach("nic0", Soon());
  ASSERT_TRUE(detached) << detached.error().message();

  auto second_tap = MakeTap();
  ASSERT_TRUE(second_tap);
  Nic again{.id = "nic0", .mac = {0x02, 0, 0, 0xaa, 0xbb, 0xcd}};
  again.tap_fds.push_back(*std::move(second_tap));
  EXPECT_EQ(vm_->Attach(std::move(again), Soon())->pci_path, "0f/00") << "the port is free again";
}

TEST_P(QemuE2e, AttachesAndDetachesShares) {
  const std::string daemon = "/usr/lib/qemu/virtiofsd";
  if (::geteuid() != 0 || !sys::Exists(daemon)) GTEST_SKIP() << "needs root and " << daemon;
  Boot(Spec());
  ASSERT_TRUE(sys::MakeDirs(dir_ / "share"));
  ASSERT_TRUE(sys::WriteFile(dir_ / "share/file", "from the host"));
  auto listener = sys::ListenUnix(dir_ / "fs.sock");
  ASSERT_TRUE(listener);
  VhostUserFs fs{.id = "share0", .tag = "test"};
  fs.socket = dir_ / "fs.sock";
  sys::Command command;
  command.argv = {daemon, "--fd=3", "-o", "source=" + (dir_ / "share"), "--rlimit-nofile=1024"};
  command.fds = {{listener->get(), 3}};
  auto virtiofsd = sys::ChildProcess::Spawn(command);
  ASSERT_TRUE(virtiofsd) << virtiofsd.error().message();

  const auto begin = std::chrono::steady_clock::now();
  auto address = vm_->Attach(std::move(fs), Soon());
  ASSERT_TRUE(address) << address.error().message();
  EXPECT_EQ(Ask(agent_.get(), "share test file"), "mounted from the host");
  fmt::print("share in {} ms\n", (std::chrono::steady_clock::now() - begin) / milliseconds(1));
  EXPECT_EQ(Ask(agent_.get(), "unshare"), "gone");
  const auto detached = vm_->Detach("share0", Soon());
  ASSERT_TRUE(detached) << detached.error().message();
  // The daemon serves one connection and ends with it.
  EXPECT_TRUE(virtiofsd->Wait(Soon()));
}

// Memory of a VM to be saved: `mib` of nothing.
sys::UniqueFd MemoryFile(uint32_t mib) {
  sys::UniqueFd file(::memfd_create("guest", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.get(), off_t{mib} << 20), 0);
  return file;
}

// A copy of the parts that hold anything.
sys::UniqueFd CopyOf(int from) {
  struct stat status{};
  EXPECT_EQ(::fstat(from, &status), 0);
  sys::UniqueFd to = MemoryFile(static_cast<uint32_t>(status.st_size >> 20));
  for (off_t at = 0; (at = ::lseek(from, at, SEEK_DATA)) >= 0;) {
    const off_t end = ::lseek(from, at, SEEK_HOLE);
    std::string part(static_cast<size_t>(end - at), '\0');
    EXPECT_EQ(::pread(from, part.data(), part.size(), at), end - at);
    EXPECT_EQ(::pwrite(to.get(), part.data(), part.size(), at), end - at);
    at = end;
  }
  return to;
}

Nic NicOn(sys::UniqueFd tap) {
  Nic nic{.id = "nic0", .mac = {0x02, 0, 0, 0xaa, 0xbb, 0xcc}};
  nic.tap_fds.push_back(std::move(tap));
  return nic;
}

TEST_P(QemuE2e, SavesAndRestoresAsOftenAsWanted) {
  auto tap = MakeTap();
  if (!tap) GTEST_SKIP() << "no tap device: " << tap.error().message();
  VmSpec source = Spec();
  const sys::UniqueFd memory = MemoryFile(source.memory.boot_mib);
  source.memory.file = *sys::Duplicate(memory.get());
  source.devices.push_back(NicOn(*std::move(tap)));
  Boot(std::move(source));
  const std::string folder = dir_ / "state";
  ASSERT_TRUE(sys::MakeDirs(folder));
  const auto saved = vm_->Save(folder, Soon());
  ASSERT_TRUE(saved) << saved.error().message();
  const size_t size = sys::ReadFile(folder + "/devices")->size();
  EXPECT_GT(size, size_t{10} << 10);
  fmt::print("state of {} KiB\n", size >> 10);
  vm_->Stop(milliseconds(0));

  for (const bool shared : {true, false, true}) {
    VmSpec clone = Spec();
    clone.restored = true;
    clone.memory.shared = shared;
    clone.memory.file = shared ? CopyOf(memory.get()) : *sys::Duplicate(memory.get());
    clone.devices.push_back(NicOn(*MakeTap()));
    clone.devices.push_back(
        Disk{.id = "new", .path = DiskFile("new.img", 1 << 20), .bus = Disk::Bus::kBlock});
    vm_ = Make();
    const auto begin = std::chrono::steady_clock::now();
    const auto since = [&] { return (std::chrono::steady_clock::now() - begin) / milliseconds(1); };
    const auto started = vm_->Start(std::move(clone), Soon());
    ASSERT_TRUE(started) << started.error().message();
    const auto up = since();
    const auto restored = vm_->Restore(folder, Soon());
    ASSERT_TRUE(restored) << restored.error().message();
    ASSERT_TRUE(vm_->Resume(Soon()));
    const auto loaded = since();
    agent_ = *vm_->ConnectAgent(Soon());
    ASSERT_EQ(Ask(agent_.get(), "echo again"), "again");
    const auto answered = since();
    EXPECT_THAT(Ask(agent_.get(), "nic 02:00:00:aa:bb:cc"), StartsWith("eth"));
    const auto asked = since();
    EXPECT_EQ(Ask(agent_.get(), "rescan"), "done");
    const auto scanned = since();
    EXPECT_THAT(Ask(agent_.get(), "disk pci 08/00"), HasSubstr(" 2048 0"));
    fmt::print("monitor {}, restored {}, answered {}, nic {}, scanned {}, disk {} ms\n", up, loaded,
               answered, asked, scanned, since());
    EXPECT_EQ(vm_->Resize({.memory_mib = 384}, Soon())->now.memory_mib, 384u);
  }
}

TEST_P(QemuE2e, ARestoreFromNonsenseFailsWithQemusWords) {
  VmSpec spec = Spec();
  spec.restored = true;
  spec.memory.file = MemoryFile(spec.memory.boot_mib);
  vm_ = Make();
  ASSERT_TRUE(vm_->Start(std::move(spec), Soon()));
  ASSERT_TRUE(sys::WriteFile(dir_ / "devices", "nonsense"));
  const auto restored = vm_->Restore(dir_.path(), Soon());
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code(), Code::kUnavailable);
  EXPECT_THAT(restored.error().message(), HasSubstr("migration"));
}

TEST_P(QemuE2e, RefusesToUnplugWhatTheGuestHolds) {
  VmSpec spec = Spec();
  spec.hotplug_ports = 1;
  Boot(std::move(spec));
  ASSERT_TRUE(vm_->Pause(Soon()));  // a guest that does not answer
  Disk disk{.id = "held", .path = DiskFile("held.img", 4096), .bus = Disk::Bus::kBlock};
  ASSERT_TRUE(vm_->Attach(std::move(disk), Soon()));
  Disk second{.id = "second", .path = DiskFile("second.img", 4096), .bus = Disk::Bus::kBlock};
  const auto full = vm_->Attach(std::move(second), Soon());
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kResourceExhausted);
  const auto detached = vm_->Detach("held", Deadline::After(milliseconds(200)));
  ASSERT_FALSE(detached);
  EXPECT_EQ(detached.error().code(), Code::kDeadlineExceeded);
}

TEST_P(QemuE2e, AddsMemory) {
  Boot(Spec());
  const std::string before = Ask(agent_.get(), "memory");
  const auto grown = vm_->Resize({.memory_mib = 500}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.memory_mib, 512u) << "rounded up to whole blocks";
  EXPECT_EQ(grown->now.vcpus, 1u);
  EXPECT_EQ(grown->shortfall, "");
  EXPECT_NE(Ask(agent_.get(), "memory-above " + std::to_string(std::stoi(before) + 200)), "timeout")
      << vm_->ConsoleTail(20);
  EXPECT_EQ(vm_->Resize({.memory_mib = 100}, Soon())->now.memory_mib, 512u) << "never smaller";
}

TEST_P(QemuE2e, AddsProcessors) {
  if (testing::KernelLacks("emulated-cpu-hotplug")) {
    GTEST_SKIP() << "this kernel takes no processors under emulation (kernel.info)";
  }
  Boot(Spec());
  EXPECT_EQ(Ask(agent_.get(), "cpus 1"), "1");
  const auto grown = vm_->Resize({.vcpus = 3}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.vcpus, 3u);
  EXPECT_EQ(Ask(agent_.get(), "cpus 3"), "3") << vm_->ConsoleTail(20);
  EXPECT_EQ(vm_->Resize({.vcpus = 1}, Soon())->now.vcpus, 3u) << "never fewer";
  const auto most = vm_->Resize({.vcpus = 5}, Soon());
  ASSERT_TRUE(most) << most.error().message();
  EXPECT_EQ(most->now.vcpus, 4u);
  EXPECT_THAT(most->shortfall, HasSubstr("up to 4 vCPUs"));
}

TEST_P(QemuE2e, AddsWhatFitsOfMoreMemoryThanItCanHave) {
  VmSpec spec = Spec();
  spec.memory.boot_mib = 256;
  spec.memory.max_mib = 1001;
  Boot(std::move(spec));
  const auto grown = vm_->Resize({.memory_mib = 4096}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->now.memory_mib, 896u);
  EXPECT_THAT(grown->shortfall, HasSubstr("up to 1001 MiB"));
  EXPECT_NE(Ask(agent_.get(), "memory-above 700"), "timeout") << vm_->ConsoleTail(20);
}

TEST_P(QemuE2e, AMachineThatHasAllFromTheBeginningDoesNotGrow) {
  VmSpec spec = Spec();
  spec.memory.max_mib = spec.memory.boot_mib;
  Boot(std::move(spec));
  const auto grown = vm_->Resize({.memory_mib = 4096}, Soon());
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_THAT(grown->shortfall, HasSubstr("up to"));
}

TEST_P(QemuE2e, ReportsAPanicWithItsLine) {
  Boot(Spec());
  ASSERT_TRUE(sys::WriteAll(agent_.get(), "panic\n"));
  const VmExit exit = AwaitExit();
  EXPECT_EQ(exit.reason, VmExit::Reason::kGuestPanic);
  EXPECT_THAT(exit.message, HasSubstr("Kernel panic - not syncing: sysrq triggered crash"));
  const auto paused = vm_->Pause(Soon());
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().message(), exit.message);
}

TEST_P(QemuE2e, ReportsPowerOffAndReboot) {
  Boot(Spec());
  ASSERT_TRUE(sys::WriteAll(agent_.get(), "poweroff\n"));
  EXPECT_EQ(AwaitExit().reason, VmExit::Reason::kGuestShutdown);
  Boot(Spec());
  ASSERT_TRUE(sys::WriteAll(agent_.get(), "reboot\n"));
  EXPECT_EQ(AwaitExit().reason, VmExit::Reason::kGuestReset);
}

TEST_P(QemuE2e, ReportsThatQemuWasKilled) {
  Boot(Spec());
  std::promise<VmExit> second;
  vm_->OnExit([&](const VmExit& exit) { second.set_value(exit); });
  vm_->Kill();
  const VmExit exit = AwaitExit();
  EXPECT_EQ(exit.reason, VmExit::Reason::kVmmFailed);
  EXPECT_THAT(exit.message, HasSubstr("killed by signal 9"));
  EXPECT_EQ(second.get_future().get().status.signal, SIGKILL);
  std::promise<VmExit> late;
  vm_->OnExit([&](const VmExit& e) { late.set_value(e); });
  EXPECT_EQ(late.get_future().get().status.signal, SIGKILL);
  Disk disk{.id = "disk", .path = DiskFile("d.img", 4096)};
  EXPECT_EQ(vm_->Attach(std::move(disk), Soon()).error().code(), Code::kUnavailable);
}

TEST_P(QemuE2e, AFloodOnTheConsoleStaysBounded) {
  Boot(Spec());
  EXPECT_EQ(Ask(agent_.get(), "flood"), "flooded");
  EXPECT_LE(vm_->ConsoleTail(100000).size(), size_t{64} << 10);
  EXPECT_THAT(vm_->ConsoleTail(5), HasSubstr("ffff"));
}

TEST_P(QemuE2e, ColdDevicesAndTheDebugConsole) {
  VmSpec spec = Spec();
  spec.debug_console = true;
  spec.devices.push_back(Disk{.id = "cold", .path = DiskFile("cold.img", 1 << 20)});
  Boot(std::move(spec));
  EXPECT_THAT(Ask(agent_.get(), "disk scsi 0:0"), HasSubstr(" 2048 0"));
  EXPECT_THAT(vm_->ConsoleTail(1000), HasSubstr("bootconsole [earlyser0]"));
  Disk disk{.id = "hot", .path = DiskFile("hot.img", 4096)};
  EXPECT_EQ(vm_->Attach(std::move(disk), Soon())->scsi, "0:1");
  EXPECT_EQ(vm_->Detach("cold", Soon()).error().code(), Code::kFailedPrecondition);
}

TEST_P(QemuE2e, AStartThatFailsQuotesQemuAndLeavesNothing) {
  VmSpec spec = Spec();
  spec.vmm_extra_args = {"-device", "no-such-device"};
  vm_ = Make();
  const auto started = vm_->Start(std::move(spec), Soon());
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message(), HasSubstr("no-such-device"));
  EXPECT_EQ(::kill(vm_->pid(), 0), -1);
}

TEST_P(QemuE2e, MissingPiecesAreNamed) {
  const auto error = [&](auto change) {
    VmSpec spec = Spec();
    change(spec);
    return Make()->Start(std::move(spec), Soon()).error().message();
  };
  EXPECT_THAT(error([](VmSpec& s) { s.vmm_path = "/nonexistent/qemu"; }),
              HasSubstr("execve \"/nonexistent/qemu\": No such file or directory"));
  EXPECT_THAT(error([](VmSpec& s) { s.kernel = "/nonexistent/vmlinux"; }),
              StartsWith("guest kernel: open \"/nonexistent/vmlinux\""));
  EXPECT_THAT(error([](VmSpec& s) { s.memory = {.boot_mib = 9 << 20}; }),
              HasSubstr("but the host has"));
}

INSTANTIATE_TEST_SUITE_P(, QemuE2e, ::testing::ValuesIn(testing::QemuPaths()),
                         [](const auto& param) {
                           const auto version =
                               ProbeVersion(*FindVmm(kQemu.name).value(), param.param, Soon());
                           return version ? fmt::format("qemu{}_{}", version->major, param.index)
                                          : fmt::format("qemu_{}", param.index);
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QemuE2e);

}  // namespace
}  // namespace kata::hypervisor::qemu
