// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/argv.h"

#include <fcntl.h>
#include <stdlib.h>

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::hypervisor::qemu {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

sys::UniqueFd AnyFd() { return *sys::Open("/dev/null", O_RDWR); }

VmSpec MinimalSpec() {
  VmSpec spec;
  spec.id = "ab12";
  spec.vmm_path = "/usr/bin/qemu-system-x86_64";
  spec.kernel = "/guest/vmlinux";
  spec.initrd = "/guest/initrd";
  return spec;
}

// The command line, an option with its value on each line.
std::string Render(const CommandLine& line) {
  std::string text = line.argv[0];
  for (size_t i = 1; i < line.argv.size(); ++i) {
    text += line.argv[i].starts_with('-') ? '\n' : ' ';
    text += line.argv[i];
  }
  return text + '\n';
}

// Compares with testdata/<name>.argv; KATA_UPDATE_GOLDEN=1 writes it instead.
void ExpectGolden(const std::string& name, const CommandLine& line) {
  const std::string path = std::string(KATA_QEMU_TESTDATA) + "/" + name + ".argv";
  if (::getenv("KATA_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(sys::WriteFile(path, Render(line)));
    return;
  }
  const auto expected = sys::ReadFile(path);
  ASSERT_TRUE(expected) << expected.error().message();
  EXPECT_EQ(Render(line), *expected);
}

TEST(BuildCommandLine, Minimal) {
  const VmSpec spec = MinimalSpec();
  ASSERT_TRUE(ValidateSpec(spec)) << ValidateSpec(spec).error().message();
  const CommandLine line = BuildCommandLine(spec, {.qmp = 100, .console = 101, .agent = 102});
  ExpectGolden("minimal", line);
  ASSERT_EQ(line.fds.size(), 3u);
  EXPECT_EQ(line.fds[0].from, 100);
  EXPECT_EQ(line.fds[0].to, 3);
  EXPECT_EQ(line.fds[2].from, 102);
  EXPECT_EQ(line.fds[2].to, 5);
}

TEST(BuildCommandLine, Everything) {
  VmSpec spec = MinimalSpec();
  spec.accelerator = AcceleratorKind::kKvm;
  spec.cpus = {.boot = 2, .max = 8, .extra_features = "pmu=off"};
  spec.memory = {.boot_mib = 2048,
                 .hotplug_slots = 10,
                 .max_mib = 16384,
                 .huge_pages = true,
                 .preallocate = true};
  spec.agent = VsockChannel{.cid = 77, .vhost_fd = AnyFd()};
  spec.kernel_params = {"agent.log=debug", "x=y"};
  spec.debug_console = true;
  spec.hotplug_ports = 2;
  spec.vmm_extra_args = {"-extra", "value"};
  spec.devices.push_back(VhostUserFs{.id = "share", .tag = "kataShared", .fd = AnyFd()});
  spec.devices.push_back(Disk{.id = "data", .fd = AnyFd(), .read_only = true, .serial = "s1"});
  spec.devices.push_back(
      Disk{.id = "fast", .fd = AnyFd(), .bus = Disk::Bus::kBlock, .direct_io = true});
  Nic nic{.id = "eth0", .mac = {0x02, 0, 0, 0, 0xab, 1}};
  nic.tap_fds.push_back(AnyFd());
  nic.tap_fds.push_back(AnyFd());
  nic.vhost_fds.push_back(AnyFd());
  nic.vhost_fds.push_back(AnyFd());
  spec.devices.push_back(std::move(nic));
  ASSERT_TRUE(ValidateSpec(spec)) << ValidateSpec(spec).error().message();
  const CommandLine line = BuildCommandLine(spec, {.qmp = 100, .console = 101, .serial = 103});
  ExpectGolden("everything", line);
  EXPECT_EQ(line.luns, 1u);
  EXPECT_EQ(line.cold_pci_devices, 3u);
}

TEST(BuildCommandLine, PrivateMemoryWithoutExtras) {
  VmSpec spec = MinimalSpec();
  spec.memory = {.boot_mib = 128, .shared = false};
  spec.free_page_reporting = false;
  spec.seccomp = false;
  spec.hotplug_ports = 0;
  spec.initrd.clear();
  spec.image = "/guest/image";
  ExpectGolden("private", BuildCommandLine(spec, {.qmp = 100, .console = 101, .agent = 102}));
}

TEST(BuildCommandLine, OffersNoSlotsWhereMemoryCannotGrow) {
  VmSpec spec = MinimalSpec();
  spec.memory = {.boot_mib = 512, .hotplug_slots = 10, .max_mib = 513};
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), HasSubstr("512M,slots=10,maxmem=513M"));
  spec.memory.max_mib = 512;
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), Not(HasSubstr("slots=")))
      << "QEMU does not start with slots that nothing fits into";
}

TEST(BuildCommandLine, HasRoomForTranslatedCodeByTheGuestsMemoryWithinBounds) {
  VmSpec spec = MinimalSpec();
  for (const auto& [memory_mib, room] : {std::pair{128u, "tcg,tb-size=64\n"},
                                         {1024u, "tcg,tb-size=256\n"},
                                         {16384u, "tcg,tb-size=512\n"}}) {
    spec.memory.boot_mib = memory_mib;
    EXPECT_THAT(Render(BuildCommandLine(spec, {})), HasSubstr(room));
  }
}

TEST(BuildCommandLine, HidesVirtualization) {
  EXPECT_THAT(Render(BuildCommandLine(MinimalSpec(), {})), HasSubstr("vmx=off,svm=off"));
}

TEST(BuildCommandLine, EmulatedProcessorsTakeTurnsOnOneThread) {
  VmSpec spec = MinimalSpec();
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), Not(HasSubstr("thread=")));
  spec.cpus.max = 2;
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), HasSubstr("tcg,thread=single"));
  spec.accelerator = AcceleratorKind::kKvm;
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), Not(HasSubstr("thread=")));
}

TEST(BuildCommandLine, AnEmulatedGuestIsToldHowFastItsCounterRuns) {
  VmSpec spec = MinimalSpec();
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), Not(HasSubstr("tsc_early_khz")));
  spec.tsc_khz = 2450000;
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), HasSubstr("tsc_early_khz=2450000"));
  spec.accelerator = AcceleratorKind::kKvm;
  EXPECT_THAT(Render(BuildCommandLine(spec, {})), Not(HasSubstr("tsc_early_khz")));
}

TEST(BuildCommandLine, ARestoredMachineHasMemoryInAFileAndNoKernel) {
  VmSpec spec = MinimalSpec();
  spec.restored = true;
  EXPECT_EQ(ValidateSpec(spec).error().code(), Code::kInvalidArgument) << "without its memory";
  spec.memory.file = AnyFd();
  spec.memory.shared = false;
  ASSERT_TRUE(ValidateSpec(spec)) << ValidateSpec(spec).error().message();
  const CommandLine line = BuildCommandLine(spec, {.qmp = 100, .console = 101, .agent = 102});
  ExpectGolden("restored", line);
  EXPECT_EQ(line.fds.front().from, spec.memory.file.get());
  spec.memory.huge_pages = true;
  EXPECT_EQ(ValidateSpec(spec).error().code(), Code::kInvalidArgument);
}

TEST(StateKey, TellsMachinesApartAndForgetsDescriptors) {
  VmSpec one = MinimalSpec();
  VmSpec other = MinimalSpec();
  for (VmSpec* spec : {&one, &other}) {
    Nic nic{.id = "net0", .mac = {2}};
    nic.tap_fds.push_back(AnyFd());
    spec->devices.push_back(std::move(nic));
  }
  EXPECT_EQ(StateKey(one), StateKey(other));
  other.memory.boot_mib = 512;
  EXPECT_NE(StateKey(one), StateKey(other));
  other = MinimalSpec();
  EXPECT_NE(StateKey(one), StateKey(other)) << "it has no NIC";
}

TEST(ValidateSpec, RefusesWhatNoQemuCouldRun) {
  struct Case {
    std::function<void(VmSpec&)> change;
    Code code;
    const char* says;
  };
  const Case cases[] = {
      {[](VmSpec& s) { s.id = ""; }, Code::kInvalidArgument, "VM id"},
      {[](VmSpec& s) { s.id = "a,b"; }, Code::kInvalidArgument, "VM id"},
      {[](VmSpec& s) { s.memory.boot_mib = 63; }, Code::kOutOfRange, "63 MiB"},
      {[](VmSpec& s) { s.memory.boot_mib = 0xffffffff; }, Code::kOutOfRange, "4294967295 MiB"},
      {[](VmSpec& s) { s.memory = {.boot_mib = 512, .hotplug_slots = 1, .max_mib = 256}; },
       Code::kOutOfRange, "maximum guest memory"},
      {[](VmSpec& s) { s.memory.hotplug_slots = 257; }, Code::kOutOfRange, "257 memory slots"},
      {[](VmSpec& s) { s.cpus = {.boot = 0, .max = 1}; }, Code::kOutOfRange, "0 of at most 1"},
      {[](VmSpec& s) { s.cpus = {.boot = 2, .max = 1}; }, Code::kOutOfRange, "2 of at most 1"},
      {[](VmSpec& s) { s.cpus = {.boot = 1, .max = 256}; }, Code::kOutOfRange, "256 vCPUs"},
      {[](VmSpec& s) { s.hotplug_ports = 17; }, Code::kOutOfRange, "17 hotplug ports"},
      {[](VmSpec& s) { s.initrd = ""; }, Code::kInvalidArgument, "either an initrd or an image"},
      {[](VmSpec& s) { s.image = "/i"; }, Code::kInvalidArgument, "either an initrd or an image"},
      {[](VmSpec& s) { s.agent = HybridVsockChannel{}; }, Code::kUnimplemented, "hybrid"},
      {[](VmSpec& s) { s.agent = VsockChannel{.cid = 2}; }, Code::kInvalidArgument, "vsock"},
      {[](VmSpec& s) { s.kernel_params.assign(500, "abcd"); }, Code::kOutOfRange, "2047"},
      {[](VmSpec& s) { s.devices.push_back(Disk{.id = "d"}); }, Code::kInvalidArgument,
       "neither path nor file"},
      {[](VmSpec& s) { s.devices.push_back(Disk{.id = "d,x", .path = "/x"}); },
       Code::kInvalidArgument, "device id \"d,x\""},
      {[](VmSpec& s) {
         s.devices.push_back(Disk{.id = "d", .path = "/x"});
         s.devices.push_back(Disk{.id = "d", .path = "/y"});
       },
       Code::kInvalidArgument, "two devices"},
      {[](VmSpec& s) {
         s.devices.push_back(Disk{.id = "d", .path = "/x", .serial = "long serial number, too"});
       },
       Code::kInvalidArgument, "serial"},
      {[](VmSpec& s) {
         s.memory.shared = false;
         s.devices.push_back(VhostUserFs{.id = "f", .tag = "t", .fd = AnyFd()});
       },
       Code::kInvalidArgument, "shared guest memory"},
      {[](VmSpec& s) {
         s.devices.push_back(VhostUserFs{.id = "f", .tag = std::string(37, 't'), .fd = AnyFd()});
       },
       Code::kInvalidArgument, "1 to 36"},
      {[](VmSpec& s) { s.devices.push_back(VhostUserFs{.id = "f", .tag = "t"}); },
       Code::kInvalidArgument, "not connected"},
      {[](VmSpec& s) {
         s.devices.push_back(VhostUserFs{.id = "f", .tag = "t", .fd = AnyFd(), .queue_size = 1000});
       },
       Code::kInvalidArgument, "queue size 1000"},
      {[](VmSpec& s) { s.devices.push_back(Nic{.id = "n"}); }, Code::kInvalidArgument, "0 queues"},
      {[](VmSpec& s) {
         Nic nic{.id = "n", .mac = {1}};
         nic.tap_fds.push_back(AnyFd());
         s.devices.push_back(std::move(nic));
       },
       Code::kInvalidArgument, "multicast"},
      {[](VmSpec& s) {
         for (int i = 0; i < 9; ++i) {
           s.devices.push_back(
               Disk{.id = "d" + std::to_string(i), .path = "/x", .bus = Disk::Bus::kBlock});
         }
       },
       Code::kOutOfRange, "9 PCI devices"},
  };
  for (const Case& c : cases) {
    VmSpec spec = MinimalSpec();
    c.change(spec);
    const auto checked = ValidateSpec(spec);
    ASSERT_FALSE(checked) << c.says;
    EXPECT_EQ(checked.error().code(), c.code) << checked.error().message();
    EXPECT_THAT(checked.error().message(), HasSubstr(c.says));
  }
  EXPECT_TRUE(ValidateSpec(MinimalSpec()));
}

}  // namespace
}  // namespace kata::hypervisor::qemu
