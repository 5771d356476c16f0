// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qemu_vm.h"

#include <signal.h>
#include <unistd.h>

#include <thread>

#include <fmt/format.h>

#include "host/hypervisor/boot_files.h"
#include "host/hypervisor/host_clock.h"
#include "host/hypervisor/memory_file.h"
#include "host/hypervisor/registry.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

Result<void> CheckHostMemory(const VmSpec& spec) {
  const uint64_t host_mib = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                                static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) >>
                            20;
  if (spec.memory.boot_mib <= host_mib) return {};
  return Fail(
      Code::kResourceExhausted,
      fmt::format("guest memory of {} MiB, but the host has {} MiB: lower default_memory in "
                  "configuration.toml or the container's limit",
                  spec.memory.boot_mib, host_mib));
}

Result<void> Preflight(VmSpec& spec, Deadline deadline) {
  if (!spec.image.empty()) {
    Disk image;
    image.id = "image";
    image.path = spec.image;
    image.read_only = true;
    image.bus = Disk::Bus::kBlock;
    spec.devices.insert(spec.devices.begin(), std::move(image));
  }
  KATA_TRY(ValidateSpec(spec));
  if (!spec.restored) {
    KATA_TRY(CheckKernel(spec.kernel));
    if (!spec.initrd.empty()) KATA_TRY(CheckInitrd(spec.initrd));
  }
  if (!spec.image.empty()) KATA_TRY(CheckImage(spec.image));
  KATA_TRY(CheckHostMemory(spec));
  Memory& memory = spec.memory;
  if (!memory.file && !memory.huge_pages && !memory.preallocate) {
    memory.file = KATA_TRY(MakeMemoryFile(memory.boot_mib));
    memory.shared = true;
  }
  for (Device& device : spec.devices) KATA_TRY(OpenDevice(device, deadline));
  return {};
}

}  // namespace

Result<void> QemuVm::Start(VmSpec spec, Deadline deadline) {
  {
    const MutexLock lock(mutex_);
    if (started_) return Fail(Code::kFailedPrecondition, "the VM was started before");
    started_ = true;
  }
  KATA_TRY(Preflight(spec, deadline));
  auto launched = Launch(spec, deadline);
  if (!launched) process_->Stop(std::chrono::milliseconds(0));
  return launched;
}

Result<void> QemuVm::Launch(VmSpec& spec, Deadline deadline) {
  sys::SocketPair qmp = KATA_TRY(sys::MakeSocketPair());
  sys::SocketPair console = KATA_TRY(sys::MakeSocketPair());
  sys::Pipe errors = KATA_TRY(sys::MakePipe());
  sys::SocketPair agent;
  sys::SocketPair serial;
  if (std::holds_alternative<VirtioSerialChannel>(spec.agent)) {
    agent = KATA_TRY(sys::MakeSocketPair());
  }
  if (spec.debug_console) serial = KATA_TRY(sys::MakeSocketPair());

  if (spec.accelerator == AcceleratorKind::kTcg && !spec.restored) spec.tsc_khz = TscKhz();
  CommandLine line = BuildCommandLine(spec, {.qmp = qmp.theirs.get(),
                                             .console = console.theirs.get(),
                                             .agent = agent.theirs.get(),
                                             .serial = serial.theirs.get()});
  sys::Command command;
  command.argv = std::move(line.argv);
  command.fds = std::move(line.fds);
  command.cwd = "/";
  command.stdout_fd = errors.write.get();
  command.stderr_fd = errors.write.get();
  // Signals for the shim's terminal or group are not the guest's.
  command.new_session = true;
  command.parent_death_signal = SIGKILL;
  command.oom_score_adj = spec.oom_score_adj;
  command.cgroup_dirs = spec.cgroup_dirs;
  if (spec.network_namespace) command.namespace_fds.push_back(spec.network_namespace.get());
  auto child = sys::ChildProcess::Spawn(command);
  if (!child) {
    if (child.error().code() == Code::kNotFound) {
      return std::unexpected(std::move(child).error().Within(
          "start QEMU (install qemu-system-x86 or correct its path in configuration.toml)"));
    }
    return std::unexpected(std::move(child).error().Within("start QEMU"));
  }
  // QEMU's ends are QEMU's alone from here on, so that its death closes them.
  qmp.theirs.Reset();
  console.theirs.Reset();
  serial.theirs.Reset();
  agent.theirs.Reset();
  errors.write.Reset();

  ConnectMonitor(std::move(qmp.ours));
  process_->Adopt(
      *std::move(child), LogReader::Watch(loop_, std::move(errors.read), process_->error_log()),
      LogReader::Watch(loop_, std::move(console.ours), process_->console_log()),
      serial.ours ? LogReader::Watch(loop_, std::move(serial.ours), process_->console_log())
                  : nullptr);

  return Enter(spec, line, fmt::format("/proc/{}/fd/", process_->pid()), std::move(agent.ours),
               deadline);
}

void QemuVm::ConnectMonitor(sys::UniqueFd qmp) {
  process_->SetQmp(QmpClient::Create(loop_, std::move(qmp),
                                     [process = std::weak_ptr(process_)](const QmpEvent& event) {
                                       if (const auto alive = process.lock()) alive->OnEvent(event);
                                     }));
}

void QemuVm::AddStartDevices(const VmSpec& spec, const CommandLine& line) {
  for (uint32_t lun = 0; lun < line.luns; ++lun) luns_used_.set(lun);
  uint32_t lun = 0;
  for (const Device& device : spec.devices) {
    Attached place = Describe(device);
    place.busy = false;
    place.cold = !PlaceOf(device);
    if (const auto* disk = std::get_if<Disk>(&device)) has_disks_ = has_disks_ || !disk->read_only;
    if (const auto number = line.disk_fds.find(DeviceId(device)); number != line.disk_fds.end()) {
      place.fd_set = number->second;
    }
    if (const auto plugged = PlaceOf(device)) {
      Plug(*plugged, IsScsi(device), &place);
    } else if (IsScsi(device)) {
      place.shape.lun = lun++;
    }
    devices_[DeviceId(device)] = std::move(place);
  }
}

Result<void> QemuVm::Enter(VmSpec& spec, const CommandLine& line, std::string fds,
                           sys::UniqueFd agent, Deadline deadline) {
  auto greeting = process_->qmp()->Handshake(deadline);
  if (!greeting) return std::unexpected(process_->Explain(std::move(greeting).error()));
  KATA_TRY(CheckVersion(kQemu, {greeting->major, greeting->minor, greeting->micro}));

  if (spec.restored) KATA_TRY(PrepareRestore(deadline));

  if (!resizing_.Begin(deadline)) return Fail(Code::kInternal, "the VM was started twice");
  const CallTurn turn(resizing_);
  shape_ = hypervisor::ShapeOf(spec);
  memory_ = std::move(spec.memory);
  memory_.file.Reset();  // QEMU has it: with it the guest's memory goes
  vmm_fds_ = std::move(fds);
  memory_fd_ = line.memory_fd;
  vcpus_ = spec.cpus.boot + spec.cpus.plugged;
  memory_mib_ = memory_.boot_mib;
  for (const MemoryModule& module : memory_.modules) memory_mib_ += module.size_mib;
  for (size_t i = 0; i < line.module_fds.size(); ++i) {
    module_files_[fmt::format("dimm-ram{}", i + 1)] = {.fd = line.module_fds[i],
                                                       .shared = memory_.shared};
  }
  memory_.modules.clear();
  const MutexLock lock(mutex_);
  agent_socket_ = std::move(agent);
  if (auto* vsock = std::get_if<VsockChannel>(&spec.agent)) vsock_ = std::move(*vsock);
  AddStartDevices(spec, line);
  return {};
}

Result<sys::UniqueFd> QemuVm::ConnectAgent(Deadline deadline) {
  uint32_t cid = 0;
  {
    const MutexLock lock(mutex_);
    if (agent_socket_) return sys::Duplicate(agent_socket_.get());
    if (!vsock_) return Fail(Code::kFailedPrecondition, "the VM is not running");
    cid = vsock_->cid;
  }
  for (;;) {
    auto connected = sys::ConnectVsock(cid, kAgentPort, deadline);
    if (connected || deadline.Passed()) return connected;
    if (const auto exit = process_->exit()) return Fail(Code::kUnavailable, exit->message);
    // The guest answers every try with a reset until the agent listens; nothing announces that.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Result<nlohmann::json> QemuVm::Call(std::string_view command, const nlohmann::json& arguments,
                                    Deadline deadline, int fd) {
  if (!process_->qmp()) return Fail(Code::kFailedPrecondition, "the VM is not running");
  auto answer = process_->qmp()->Call(command, arguments, deadline, fd);
  if (!answer) return std::unexpected(process_->Explain(std::move(answer).error()));
  return answer;
}

Result<void> QemuVm::Pause(Deadline deadline) {
  KATA_TRY(Call("stop", nullptr, deadline));
  return {};
}

Result<void> QemuVm::Resume(Deadline deadline) {
  KATA_TRY(Call("cont", nullptr, deadline));
  return {};
}

}  // namespace kata::hypervisor::qemu
