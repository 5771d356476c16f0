// SPDX-License-Identifier: Apache-2.0
#include "host/machine/rehearsal.h"

#include <sys/stat.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/machine/guest_container.h"
#include "host/machine/layer_images.h"
#include "host/plan/guest_plan.h"
#include "host/plan/root_layers.h"
#include "host/plan/sandbox_request.h"
#include "host/storage/share.h"
#include "oci/parse.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;

constexpr char kName[] = "rehearsal";
constexpr auto kRehearsalPatience = seconds(15);
// From the third on, each takes as long as the one before.
constexpr int kRounds = 3;

// A program for x86-64 that reads a byte of each of its pages and exits with 0, so that the file is
// read as those of real programs are: an ELF header, one segment at 0x400000 that is the whole
// file, and the instructions
//   mov esi, 0x400000; again: mov al, [rsi]; add esi, 4096; cmp esi, 0x480000; jb again
//   xor edi, edi; mov eax, 60; syscall
// clang-format off
constexpr std::string_view kProgram(
    "\x7f" "ELF\x02\x01\x01\0" "\0\0\0\0\0\0\0\0"
    "\x02\0\x3e\0\x01\0\0\0" "\x78\0\x40\0\0\0\0\0"
    "\x40\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0"
    "\0\0\0\0\x40\0\x38\0" "\x01\0\0\0\0\0\0\0"
    "\x01\0\0\0\x05\0\0\0" "\0\0\0\0\0\0\0\0"
    "\0\0\x40\0\0\0\0\0" "\0\0\x40\0\0\0\0\0"
    "\0\0\x08\0\0\0\0\0" "\0\0\x08\0\0\0\0\0"
    "\0\x10\0\0\0\0\0\0"
    "\xbe\0\0\x40\0" "\x8a\x06" "\x81\xc6\0\x10\0\0" "\x81\xfe\0\0\x48\0" "\x72\xf0"
    "\x31\xff" "\xb8\x3c\0\0\0" "\x0f\x05",
    150);
// clang-format on
constexpr size_t kProgramBytes = 512 << 10;

// What engines ask for when they are asked for nothing.
constexpr char kSpec[] = R"({
  "ociVersion": "1.0.2",
  "hostname": "rehearsal",
  "root": {"path": "rootfs"},
  "process": {
    "args": ["/true"], "cwd": "/", "env": ["PATH=/"], "user": {"uid": 0, "gid": 0},
    "noNewPrivileges": true,
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "capabilities": {
      "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
      "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
      "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]}},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc",
     "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
     "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs",
     "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
     "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    {"destination": "/run", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}],
  "linux": {
    "resources": {"devices": [{"allow": false, "access": "rwm"}], "cpu": {"shares": 1024}},
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                   {"type": "network"}, {"type": "cgroup"}],
    "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    "seccomp": {
      "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
      "syscalls": [{"names": ["read", "write", "openat", "close", "mmap", "munmap", "execve", "brk",
                              "exit", "exit_group", "fstat", "rt_sigaction", "futex", "clone"],
                    "action": "SCMP_ACT_ALLOW"}]}}
})";

std::string RootInGuest() { return storage::SharedDirectory::kGuestDirectory + std::string(kName); }

std::string Program() {
  std::string program(kProgram);
  program.resize(kProgramBytes);
  return program;
}

// With its program in `directory`, or, where the guest sees none of the host's, in its memory.
Result<GuestContainer> MakeContainer(Machine& machine, agent::AgentClient& agent, GuestPlan plan,
                                     const std::string& directory) {
  if (machine.shares_files()) {
    KATA_TRY(sys::MakeDirs(directory + "/rootfs", 0755));
    KATA_TRY(sys::WriteFile(directory + "/rootfs/true", Program(), 0755));
    return GuestContainer::Prepare(machine, kName, std::move(plan), {}, directory);
  }
  KATA_TRY(agent.CopyFile(
      {.path = RootInGuest() + "/true", .content = Program(), .mode = S_IFREG | 0755}));
  return GuestContainer::InGuest(kName, std::move(plan), RootInGuest());
}

Result<GuestOverlay> ShareLayers(storage::SharedDirectory& share, const LayerImages& images,
                                 const storage::UpperDirectories& host) {
  GuestOverlay overlay;
  for (const LayerImages::Image& image : images.images) {
    overlay.layers.push_back(
        {.key = image.key,
         .driver = "loop",
         .source = KATA_TRY(share.AddLayer(kName, image.key, image.fd.get()))});
  }
  const auto upper = KATA_TRY(share.AddUpper(kName, host, false));
  overlay.upper = upper.upper;
  overlay.work = upper.work;
  return overlay;
}

// With its program in the image of a layer, below `directory`.
Result<GuestContainer> MakeLayered(Machine& machine, GuestPlan plan, const std::string& directory) {
  const std::string layer = directory + "/layer";
  const storage::UpperDirectories host = {directory + "/top/upper", directory + "/top/work"};
  for (const std::string& path : {layer, host.upper, host.work}) {
    KATA_TRY(sys::MakeDirs(path, 0755));
  }
  KATA_TRY(sys::WriteFile(layer + "/true", Program(), 0755));
  const LayerImages images =
      KATA_TRY(FindLayerImages({layer}, machine.config()->factory, directory + "/images"));
  const GuestOverlay overlay = KATA_TRY(machine.WithShare(
      [&](storage::SharedDirectory& share) { return ShareLayers(share, images, host); }));
  const std::string root = GuestRootOf(kName);
  return GuestContainer::InGuest(kName, std::move(plan), root, PlanOverlayStorages(overlay, root));
}

Result<void> RunContainer(agent::AgentClient& agent, const GuestContainer& container) {
  KATA_TRY(agent.CreateContainer(container.request(), kRehearsalPatience));
  const auto ended = std::make_shared<std::promise<Result<int>>>();
  agent.WaitProcess({kName, ""}, [ended](Result<int> status) { ended->set_value(status); });
  KATA_TRY(agent.StartContainer(kName));
  auto end = ended->get_future();
  if (end.wait_for(kRehearsalPatience) != std::future_status::ready) {
    return Fail(Code::kDeadlineExceeded, "its program does not end");
  }
  const int status = KATA_TRY(end.get());
  if (status != 0) return Fail(Code::kInternal, fmt::format("its program ended with {}", status));
  return agent.RemoveContainer(kName, kRehearsalPatience);
}

// As if an engine had connected it. kNotFound: the machine has no NIC.
Result<void> UseInterface(agent::AgentClient& agent) {
  types::Interface interface;
  interface.set_device("eth0");
  interface.set_name("eth0");
  interface.set_mtu(1500);
  interface.set_hw_addr("02:00:00:00:00:02");
  interface.set_permanent_hw_addr(sys::MacText(GuestNetwork::kTemplateMac));
  types::IPAddress& address = *interface.add_ip_addresses();
  address.set_address("169.254.254.2");
  address.set_mask("30");
  KATA_TRY(agent.UpdateInterface(interface));
  agent::Routes routes;
  routes.set_complete(true);
  return agent.UpdateRoutes(routes);
}

Result<GuestPlan> Plan(const std::string& directory) {
  const auto spec = KATA_TRY(oci::ParseSpec(kSpec, kName));
  return PlanGuest(spec.value, {.container_id = kName,
                                .bundle = directory,
                                .container_kind = "single_container",
                                .guest_seccomp = true});
}

Result<void> RunRounds(agent::AgentClient& agent, const GuestContainer& container) {
  for (int i = 0; i < kRounds; ++i) KATA_TRY(RunContainer(agent, container));
  return {};
}

// Where the guest or the host cannot, a real one has no layers either.
Result<void> RehearseLayers(Machine& machine, agent::AgentClient& agent,
                            const std::string& directory) {
  const auto drivers = KATA_TRY(agent.StorageDrivers());
  KATA_TRY(CheckDrivers(drivers, true));
  GuestPlan plan = KATA_TRY(Plan(directory));
  GuestContainer container = KATA_TRY(MakeLayered(machine, std::move(plan), directory));
  Rollback undo;
  undo.Add([&] { container.RemoveFrom(&agent, machine, false); });
  return RunRounds(agent, container);
}

}  // namespace

Result<void> Rehearse(Machine& machine, agent::AgentClient& agent, const std::string& directory) {
  Rollback undo;
  undo.Add([&] { LogIfFailed(sys::RemoveTree(directory)); });
  GuestPlan plan = KATA_TRY(Plan(directory));
  GuestContainer container = KATA_TRY(MakeContainer(machine, agent, std::move(plan), directory));
  undo.Add([&] { container.RemoveFrom(&agent, machine, false); });
  KATA_TRY(agent.CreateSandbox(SandboxRequest(kName, kName, machine.shares_files(), {})));
  const auto used = UseInterface(agent);
  if (!used && used.error().code() != Code::kNotFound) return used;
  KATA_TRY(RunRounds(agent, container));
  if (!machine.shares_files()) {
    KATA_TRY(agent.CopyFile({.path = RootInGuest() + "/true", .content = {}, .mode = S_IFREG}));
  } else if (machine.config()->runtime.rootfs_layers) {
    const auto layered = RehearseLayers(machine, agent, directory);
    if (!layered) log::Info("rehearsed without layers", {{"reason", layered.error().message()}});
  }
  if (used) KATA_TRY(agent.ReleaseInterface(sys::MacText(GuestNetwork::kTemplateMac)));
  return agent.ResetSandbox();
}

}  // namespace kata::sandbox
