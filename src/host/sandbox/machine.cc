// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/machine.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/config/host_files.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/agent_channel.h"
#include "host/hypervisor/qemu/qemu.h"
#include "host/sandbox/cleanup.h"
#include "host/sandbox/phases.h"
#include "sys/file.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kStopGrace = milliseconds(500);
constexpr size_t kConsoleLines = 12;
// What a VMM that is about to end gets to do so and to say why.
constexpr auto kLastWords = milliseconds(1000);
constexpr char kHasEnded[] = "the machine has ended";

}  // namespace

Machine::Machine(std::string sandbox_id, std::string owner, sys::EventLoop& loop,
                 std::function<void()> on_end, std::function<void()> on_network)
    : id_(std::move(sandbox_id)),
      owner_(std::move(owner)),
      loop_(loop),
      on_end_(std::move(on_end)),
      on_network_(std::move(on_network)) {}

Machine::~Machine() = default;

Result<void> Machine::Open(const config::Loaded& config) {
  if (open_) return {};
  KATA_TRY(config::RequireFiles(config));
  KATA_TRY(BeginRecord());
  config_ = config;
  stopping_ = false;
  open_ = true;
  auto share = storage::SharedDirectory::Create(id_);
  if (!share) {
    Stop();
    return std::unexpected(std::move(share).error());
  }
  const std::lock_guard lock(share_mutex_);
  share_ = *std::move(share);
  return {};
}

Result<void> Machine::Boot(const MachineSize& size, const agent::CreateSandboxRequest& sandbox,
                           std::unique_ptr<GuestNetwork> network) {
  if (auto entered = EnterCgroup(); !entered) {
    if (entered.error().code() == Code::kFailedPrecondition) {
      Stop();
      return entered;
    }
    log::Warn("the host's cgroup is not used", {{"error", entered.error().message()}});
  }
  {
    const std::lock_guard lock(mutex_);
    network_ = std::move(network);
  }
  auto started = StartParts(size, sandbox);
  if (!started) {
    Error error = Explain(std::move(started).error());
    // The VMM only sees that its peer has gone.
    if (const std::string obituary = virtiofsd_ ? virtiofsd_->Obituary() : ""; !obituary.empty()) {
      error = std::move(error).Within(obituary);
    }
    Stop();
    return std::unexpected(std::move(error));
  }
  booted_ = true;
  if (template_wanted_) BuildTemplate();
  return {};
}

Result<void> Machine::BeginRecord() {
  const sys::UniqueFd records = KATA_TRY(LockRecords());
  if (const auto other = LoadRecord(id_); other && other->owner != owner_) {
    if (std::ranges::any_of(other->processes, IsAlive)) {
      return Fail(Code::kAlreadyExists,
                  fmt::format("sandbox \"{}\" runs already under another containerd namespace or "
                              "another --root; choose another id",
                              id_));
    }
    LogIfFailed(Cleanup(*other, Deadline::After(seconds(5))));
  }
  {
    const std::lock_guard lock(mutex_);
    record_ = {.id = id_, .owner = owner_};
    record_.paths = {storage::SharedDirectory::RootOf(id_), VmDirectory(id_)};
    if (const auto self = DescribeProcess(::getpid(), ProcessRole::kShim)) {
      record_.processes.push_back(*self);
    }
    end_reason_.clear();
    virtiofsd_obituary_.clear();
  }
  return Save();
}

Result<void> Machine::EnterCgroup() {
  if (cgroup_path_.empty()) return {};
  cgroup_ = KATA_TRY(HostCgroup::Plan(cgroup_path_));
  {
    const std::lock_guard lock(mutex_);
    record_.cgroups = cgroup_->ours();
  }
  KATA_TRY(Save());
  return cgroup_->Enter();
}

Result<void> Machine::SyncNetwork() {
  std::shared_ptr<GuestNetwork> network;
  {
    const std::lock_guard lock(mutex_);
    network = network_;
  }
  if (!network || !alive_) return {};
  return network->Sync(*vm_, *agent_);
}

void Machine::OnVmExit(const hypervisor::VmExit& exit) {
  alive_ = false;
  {
    const std::lock_guard lock(mutex_);
    end_reason_ = virtiofsd_obituary_.empty() ? exit.message : virtiofsd_obituary_;
    ended_.notify_all();
    if (agent_) agent_->Close(Error(Code::kUnavailable, exit.message));
  }
  // Before the boot has ended, its caller gets the error.
  if (stopping_ || !booted_) return;
  log::Error("the machine has ended",
             {{"reason", exit.message}, {"console", vm_->ConsoleTail(kConsoleLines)}});
  on_end_();
}

Error Machine::Explain(Error error) const {
  const Code code = error.code();
  if ((code != Code::kUnavailable && code != Code::kDeadlineExceeded) || !vm_) return error;
  std::string message = error.message();
  if (message.find(kHasEnded) != std::string::npos) return error;
  std::string reason;
  {
    std::unique_lock lock(mutex_);
    if (code == Code::kUnavailable) {
      ended_.wait_for(lock, 2 * kLastWords, [this] { return !end_reason_.empty(); });
    }
    reason = end_reason_;
  }
  if (!reason.empty() && message.find(reason) == std::string::npos) {
    message += fmt::format("; {}: {}", kHasEnded, reason);
  }
  const std::string console = vm_->ConsoleTail(kConsoleLines);
  if (message.find("console") == std::string::npos) {
    message += console.empty() ? "; the guest's console is empty"
                               : fmt::format("; the guest's console ended with:\n{}", console);
  }
  return Error(code, std::move(message));
}

void Machine::Record(pid_t pid, ProcessRole role) {
  auto entry = DescribeProcess(pid, role);
  if (!entry) return;  // it has ended already
  {
    const std::lock_guard lock(mutex_);
    record_.processes.push_back(*entry);
  }
  LogIfFailed(Save());
}

void Machine::RecordContainer(const std::string& container_id) {
  {
    const std::lock_guard lock(mutex_);
    record_.containers.push_back(container_id);
  }
  LogIfFailed(Save());
}

void Machine::ForgetContainer(const std::string& container_id) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(record_.containers, container_id);
  }
  if (booted_) LogIfFailed(Save());
}

Result<void> Machine::Save() {
  const std::lock_guard lock(mutex_);
  return SaveRecord(record_);
}

void Machine::Kill() {
  const int pid = pid_;
  if (alive_ && pid > 0) ::kill(pid, SIGKILL);
}

void Machine::KillSoon() {
  loop_.RunAfter(kLastWords, [this, pid = pid_.load()] {
    if (pid == pid_) Kill();
  });
}

void Machine::StopVirtiofsd() {
  if (!virtiofsd_) return;
  // Its descriptor must leave the loop, on the loop's thread, before it is closed.
  std::promise<void> removed;
  loop_.Post([&] {
    loop_.Remove(virtiofsd_->pidfd());
    removed.set_value();
  });
  removed.get_future().wait();
  virtiofsd_.reset();
}

void Machine::Stop() {
  const std::lock_guard stop_lock(stop_mutex_);
  stopping_ = true;
  alive_ = false;
  if (vm_) vm_->Stop(kStopGrace);
  StopVirtiofsd();
  std::shared_ptr<GuestNetwork> network;
  {
    const std::lock_guard lock(mutex_);
    network = std::exchange(network_, nullptr);
  }
  if (network) network->Close();
  {
    const std::lock_guard lock(share_mutex_);
    if (share_) {
      LogIfFailed(share_->Remove());
      share_.reset();
    }
  }
  SandboxRecord record;
  {
    const std::lock_guard lock(mutex_);
    record = std::exchange(record_, SandboxRecord{});
  }
  booted_ = false;
  open_ = false;
  if (cgroup_) {
    cgroup_->Leave();
    cgroup_.reset();
  }
  // What is still recorded has ended by now; this removes the files, the record last.
  if (!record.paths.empty()) LogIfFailed(Cleanup(record, Deadline::After(seconds(5))));
}

}  // namespace kata::sandbox
