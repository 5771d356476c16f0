// SPDX-License-Identifier: Apache-2.0
#include "host/machine/testing/fake_host.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/mutex.h"
#include "host/hypervisor/memory_file.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::sandbox {
namespace {

using hypervisor::VmExit;

constexpr char kSleeper[] = "/bin/sleep";

}  // namespace

// The process of one VMM and the guest behind it, shared with what is posted to the loop.
struct FakeVm : std::enable_shared_from_this<FakeVm> {
  explicit FakeVm(sys::EventLoop& loop_in) : loop(loop_in) {}

  sys::EventLoop& loop;
  std::shared_ptr<FakeAgent> agent;
  Mutex mutex;
  CondVar ended;
  sys::ChildProcess child KATA_GUARDED_BY(mutex);
  pid_t pid KATA_GUARDED_BY(mutex) = -1;
  bool stop_wanted KATA_GUARDED_BY(mutex) = false;
  std::optional<VmExit> exit KATA_GUARDED_BY(mutex);
  std::vector<hypervisor::Hypervisor::ExitHandler> handlers KATA_GUARDED_BY(mutex);
  std::set<std::string> disks KATA_GUARDED_BY(mutex);
  bool had_disks KATA_GUARDED_BY(mutex) = false;
  hypervisor::MachineShape shape KATA_GUARDED_BY(mutex);  // with all disks that it ever had
  bool paused KATA_GUARDED_BY(mutex) = false;

  Result<void> Spawn();
  // Whether it is a new one.
  bool AddDisk(const hypervisor::Disk& disk) KATA_REQUIRES(mutex);
  void OnEnd();
  void Kill();
  void AwaitDeath();
  bool running() KATA_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return pid > 0 && !exit;
  }
};

struct FakeHost::Shared {
  Shared(sys::EventLoop& loop_in, std::string directory_in)
      : loop(loop_in), directory(std::move(directory_in)) {}

  sys::EventLoop& loop;
  const std::string directory;
  mutable Mutex mutex;
  AgentScript agent_script KATA_GUARDED_BY(mutex);
  std::function<Result<void>()> start_script KATA_GUARDED_BY(mutex);
  std::function<Result<void>()> connect_script KATA_GUARDED_BY(mutex);
  std::function<void()> stop_script KATA_GUARDED_BY(mutex);
  std::vector<std::weak_ptr<FakeVm>> vms KATA_GUARDED_BY(mutex);
  std::shared_ptr<FakeVm> last KATA_GUARDED_BY(mutex);
};

Result<void> FakeVm::Spawn() {
  sys::Command command;
  command.argv = {kSleeper, "infinity"};
  command.parent_death_signal = SIGKILL;
  auto spawned = KATA_TRY(sys::ChildProcess::Spawn(command));
  const int watched = spawned.pidfd();
  {
    const MutexLock lock(mutex);
    pid = spawned.pid();
    child = std::move(spawned);
  }
  loop.Post([self = shared_from_this(), watched] {
    LogIfFailed(self->loop.Add(watched, EPOLLIN, [self, watched](uint32_t) {
      self->loop.Remove(watched);
      self->OnEnd();
    }));
  });
  return {};
}

bool FakeVm::AddDisk(const hypervisor::Disk& disk) {
  had_disks = true;
  if (!disks.insert(disk.id).second) return false;
  shape.devices.push_back({.id = disk.id,
                           .lun = static_cast<uint32_t>(shape.devices.size()),
                           .plugged = true,
                           .serial = disk.serial});
  return true;
}

void FakeVm::OnEnd() {
  agent->Close();
  std::vector<hypervisor::Hypervisor::ExitHandler> to_call;
  VmExit how;
  {
    const MutexLock lock(mutex);
    how.status = child.Wait(Deadline::Never()).value_or(sys::ExitStatus{});
    child = {};
    how.reason = stop_wanted ? VmExit::Reason::kStopped : VmExit::Reason::kVmmFailed;
    how.message = stop_wanted ? "the VM was stopped" : "the VMM was killed";
    exit = how;
    to_call.swap(handlers);
    ended.NotifyAll();
  }
  for (auto& handler : to_call) handler(how);
}

void FakeVm::Kill() {
  const MutexLock lock(mutex);
  if (child.valid() && !exit) LogIfFailed(child.Signal(SIGKILL));
}

void FakeVm::AwaitDeath() {
  sys::UniqueFd watched;
  {
    const MutexLock lock(mutex);
    if (child.valid()) watched = sys::Duplicate(child.pidfd()).value();
  }
  if (!watched) return;
  LogIfFailed(sys::WaitFor(watched.get(), POLLIN, Deadline::After(std::chrono::seconds(5))));
}

class FakeVmm : public hypervisor::Hypervisor {
 public:
  FakeVmm(std::shared_ptr<FakeHost::Shared> host, std::shared_ptr<FakeVm> vm)
      : host_(std::move(host)), vm_(std::move(vm)) {}
  ~FakeVmm() override { vm_->Kill(); }

  Result<void> Start(hypervisor::VmSpec spec, Deadline) override {
    std::function<Result<void>()> script;
    AgentScript agent_script;
    {
      const MutexLock lock(host_->mutex);
      script = host_->start_script;
      agent_script = host_->agent_script;
    }
    if (script) KATA_TRY(script());
    vm_->agent = std::make_shared<FakeAgent>(vm_->loop, std::move(agent_script));
    {
      const MutexLock lock(vm_->mutex);
      vm_->shape = hypervisor::ShapeOf(spec);
      for (const hypervisor::Device& device : spec.devices) {
        if (const auto* disk = std::get_if<hypervisor::Disk>(&device)) vm_->AddDisk(*disk);
      }
    }
    {
      const MutexLock lock(host_->mutex);
      std::erase_if(host_->vms, [](const auto& vm) { return vm.expired(); });
      host_->vms.push_back(vm_);
      host_->last = vm_;
    }
    return vm_->Spawn();
  }

  Result<sys::UniqueFd> ConnectAgent(Deadline) override {
    std::function<Result<void>()> script;
    {
      const MutexLock lock(host_->mutex);
      script = host_->connect_script;
    }
    if (script) KATA_TRY(script());
    auto pair = KATA_TRY(sys::MakeSocketPair());
    const auto theirs = std::make_shared<sys::UniqueFd>(std::move(pair.theirs));
    vm_->loop.Post([vm = vm_, theirs] {
      if (vm->running()) vm->agent->Serve(std::move(*theirs));
    });
    return std::move(pair.ours);
  }

  Result<hypervisor::GuestAddress> Attach(hypervisor::Device device, Deadline) override {
    if (!vm_->running()) return Fail(Code::kUnavailable, "the VMM is not there");
    const auto* disk = std::get_if<hypervisor::Disk>(&device);
    if (disk == nullptr) return Fail(Code::kUnimplemented, "disks only");
    const MutexLock lock(vm_->mutex);
    if (!vm_->AddDisk(*disk)) return Fail(Code::kAlreadyExists, disk->id);
    return hypervisor::GuestAddress{.pci_path = "", .scsi = fmt::format("0:{}", disk->id)};
  }

  Result<void> Detach(const std::string& id, Deadline) override {
    if (!vm_->running()) return Fail(Code::kUnavailable, "the VMM is not there");
    const MutexLock lock(vm_->mutex);
    if (vm_->disks.erase(id) == 0) return Fail(Code::kNotFound, id);
    return {};
  }

  Result<void> GrowDisk(const std::string& id, uint64_t, Deadline) override {
    const MutexLock lock(vm_->mutex);
    if (!vm_->disks.contains(id)) return Fail(Code::kNotFound, id);
    return {};
  }

  Result<hypervisor::Resized> Resize(hypervisor::Resources wanted, Deadline) override {
    return hypervisor::Resized{.now = wanted, .shortfall = {}};
  }
  Result<hypervisor::SavedVm> Save(const std::string& folder, Deadline) override {
    KATA_TRY(sys::WriteFile(folder + "/devices", "state"));
    const MutexLock lock(vm_->mutex);
    vm_->paused = true;
    hypervisor::SavedVm saved{.shape = vm_->shape, .vmm = vm_->pid, .memory = {}, .disks = {}};
    saved.memory.push_back({.size_mib = vm_->shape.boot_mib,
                            .file = KATA_TRY(hypervisor::MakeMemoryFile(vm_->shape.boot_mib))});
    for (const hypervisor::DeviceShape& disk : vm_->shape.devices) {
      saved.disks[disk.id] = KATA_TRY(hypervisor::MakeMemoryFile(1));
    }
    return saved;
  }
  Result<void> Restore(const std::string& folder, Deadline) override {
    KATA_TRY(sys::ReadFile(folder + "/devices", 100));
    const MutexLock lock(vm_->mutex);
    vm_->paused = true;
    return {};
  }
  Result<void> Pause(Deadline) override { return SetPaused(true); }
  Result<void> Resume(Deadline) override { return SetPaused(false); }

  void Stop(std::chrono::milliseconds) override {
    {
      const MutexLock lock(vm_->mutex);
      vm_->stop_wanted = true;
      if (!vm_->child.valid()) return;
    }
    std::function<void()> script;
    {
      const MutexLock lock(host_->mutex);
      script = host_->stop_script;
    }
    if (script) script();
    vm_->Kill();
    const MutexLock lock(vm_->mutex);
    vm_->ended.Wait(vm_->mutex,
                    [vm = vm_.get()]() KATA_REQUIRES(vm->mutex) { return vm->exit.has_value(); });
  }

  void Kill() override { vm_->Kill(); }

  void OnExit(ExitHandler handler) override {
    const MutexLock lock(vm_->mutex);
    if (!vm_->exit) return vm_->handlers.push_back(std::move(handler));
    vm_->loop.Post([exit = *vm_->exit, handler = std::move(handler)]() mutable { handler(exit); });
  }

  bool has_disks() const override {
    const MutexLock lock(vm_->mutex);
    return vm_->had_disks;
  }
  pid_t pid() const override {
    const MutexLock lock(vm_->mutex);
    return vm_->pid;
  }
  std::string ConsoleTail(size_t) const override { return ""; }

 private:
  Result<void> SetPaused(bool paused) {
    const MutexLock lock(vm_->mutex);
    vm_->paused = paused;
    return {};
  }

  const std::shared_ptr<FakeHost::Shared> host_;
  const std::shared_ptr<FakeVm> vm_;
};

FakeHost::FakeHost(sys::EventLoop& loop, std::string directory)
    : shared_(std::make_shared<Shared>(loop, std::move(directory))) {}

MachineHost FakeHost::host() {
  MachineHost host;
  host.make_vmm = [shared = shared_](sys::EventLoop& loop) {
    return std::make_unique<FakeVmm>(shared, std::make_shared<FakeVm>(loop));
  };
  host.open_network = [](const std::string&,
                         network::Model) -> Result<std::unique_ptr<GuestNetwork>> {
    return std::unique_ptr<GuestNetwork>();
  };
  host.vm_root = shared_->directory + "/run/vm";
  host.roots = {.paths = {shared_->directory + "/run"},
                .sockets = {shared_->directory + "/run"},
                .cgroups = shared_->directory + "/run/cgroup",
                .records = shared_->directory + "/run/sbs"};
  return host;
}

void FakeHost::SetAgentScript(AgentScript script) {
  const MutexLock lock(shared_->mutex);
  shared_->agent_script = std::move(script);
}

void FakeHost::SetStartScript(std::function<Result<void>()> script) {
  const MutexLock lock(shared_->mutex);
  shared_->start_script = std::move(script);
}

void FakeHost::SetConnectScript(std::function<Result<void>()> script) {
  const MutexLock lock(shared_->mutex);
  shared_->connect_script = std::move(script);
}

void FakeHost::SetStopScript(std::function<void()> script) {
  const MutexLock lock(shared_->mutex);
  shared_->stop_script = std::move(script);
}

sys::EventLoop& FakeHost::loop() { return shared_->loop; }

size_t FakeHost::vms() const {
  const MutexLock lock(shared_->mutex);
  return static_cast<size_t>(std::ranges::count_if(shared_->vms, [](const auto& weak) {
    const auto vm = weak.lock();
    return vm && vm->running();
  }));
}

void FakeHost::KillVms() {
  const MutexLock lock(shared_->mutex);
  for (const auto& weak : shared_->vms) {
    if (const auto vm = weak.lock()) vm->Kill();
  }
}

void FakeHost::AwaitDeaths() {
  const MutexLock lock(shared_->mutex);
  for (const auto& weak : shared_->vms) {
    const auto vm = weak.lock();
    if (vm && vm->running()) vm->AwaitDeath();
  }
}

std::shared_ptr<FakeAgent> FakeHost::agent() const {
  const MutexLock lock(shared_->mutex);
  return shared_->last ? shared_->last->agent : nullptr;
}

bool FakeHost::paused() const {
  const MutexLock lock(shared_->mutex);
  if (!shared_->last) return false;
  const MutexLock lock_of_vm(shared_->last->mutex);
  return shared_->last->paused;
}

std::vector<std::string> FakeHost::disks() const {
  std::shared_ptr<FakeVm> vm;
  {
    const MutexLock lock(shared_->mutex);
    vm = shared_->last;
  }
  if (!vm) return {};
  const MutexLock lock(vm->mutex);
  return {vm->disks.begin(), vm->disks.end()};
}

std::string FakeHost::WriteConfiguration() const {
  const std::string& directory = shared_->directory;
  for (const char* name : {"kernel", "initrd"}) {
    LogIfFailed(sys::WriteFile(fmt::format("{}/{}", directory, name), ""));
  }
  const std::string path = directory + "/configuration.toml";
  LogIfFailed(sys::WriteFile(path, fmt::format(R"([hypervisor.qemu]
path = "{1}"
kernel = "{0}/kernel"
initrd = "{0}/initrd"
accelerator = "tcg"
agent_channel = "virtio-serial"
shared_fs = "none"
default_memory = 256
[runtime]
internetworking_model = "none"
[factory]
enable_template = false
)",
                                               directory, kSleeper)));
  return path;
}

std::vector<std::string> FakeHost::Leftovers() const {
  namespace fs = std::filesystem;
  std::vector<std::string> left;
  for (const char* folder : {"run/vm", "run/sbs"}) {
    const fs::path path = fs::path(shared_->directory) / folder;
    if (!fs::exists(path)) continue;
    for (const auto& entry : fs::directory_iterator(path)) left.push_back(entry.path().string());
  }
  return left;
}

}  // namespace kata::sandbox
