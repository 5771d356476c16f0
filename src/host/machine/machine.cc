// SPDX-License-Identifier: Apache-2.0
#include "host/machine/machine.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/config/host_files.h"
#include "host/record/cleanup.h"
#include "sys/cgroups.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kConsoleLines = 12;
// For an earlier shim of the same sandbox to remove its own things, which have the same names.
constexpr auto kPredecessorPatience = seconds(10);
constexpr auto kPredecessorPause = milliseconds(10);
// What a VMM that is about to end gets to do so and to say why.
constexpr auto kLastWords = milliseconds(1000);
constexpr char kHasEnded[] = "the machine has ended";
constexpr char kUnwanted[] = "the machine is no longer wanted";

}  // namespace

Machine::Machine(std::string name, sys::EventLoop& loop, MachineHost host)
    : host_(std::move(host)), name_(std::move(name)), loop_(loop) {
  identity_.sandbox_id = name_;
  identity_.owner = name_;
}

Machine::~Machine() = default;

void Machine::Identify(Identity identity) { identity_ = std::move(identity); }

MachineState Machine::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Machine::SetState(MachineState state) {
  const std::lock_guard lock(mutex_);
  state_ = state;
}

bool Machine::is_open() const {
  const std::lock_guard lock(mutex_);
  return state_ == MachineState::kOpen || state_ == MachineState::kBooting ||
         state_ == MachineState::kRunning || state_ == MachineState::kLost;
}

bool Machine::booted() const {
  const std::lock_guard lock(mutex_);
  return state_ == MachineState::kRunning || state_ == MachineState::kLost;
}

bool Machine::alive() const {
  const std::lock_guard lock(mutex_);
  return end_reason_.empty() && state_ != MachineState::kNone && state_ != MachineState::kLost &&
         state_ != MachineState::kEnding;
}

Result<void> Machine::Advance(MachineState from, MachineState to) {
  const std::lock_guard lock(mutex_);
  if (state_ == MachineState::kNone) {
    return Fail(Code::kUnavailable,
                "the machine has ended before this container was in it; create it again");
  }
  if (state_ != from) return Fail(Code::kCancelled, kUnwanted);
  if (to != MachineState::kBooting && !end_reason_.empty()) {
    return Fail(Code::kUnavailable, end_reason_);
  }
  state_ = to;
  return {};
}

Result<void> Machine::CheckStarting() const {
  const std::lock_guard lock(mutex_);
  if (state_ == MachineState::kBooting || state_ == MachineState::kPreparing) return {};
  return Fail(Code::kCancelled, kUnwanted);
}

std::shared_ptr<agent::AgentClient> Machine::agent() const {
  const std::lock_guard lock(mutex_);
  return agent_;
}

std::shared_ptr<hypervisor::Hypervisor> Machine::vm() const {
  const std::lock_guard lock(mutex_);
  return vm_;
}

Result<void> Machine::Open(const config::Loaded& config) {
  if (is_open()) return {};
  if (!prepared_.empty()) {
    const auto key = PreparedKey(config.config);
    const bool lives = alive();
    if (lives && key && *key == prepared_) {
      KATA_TRY(TakeRecord());
      config_ = config;
      SetState(MachineState::kOpen);
      return {};
    }
    log::Warn("the warm machine is not used",
              {{"reason", lives ? "it has another configuration" : "it has ended"}});
    DropPrepared();
  }
  KATA_TRY(config::RequireFiles(config));
  config_ = config;
  SetState(MachineState::kOpen);
  auto opened = BeginRecord();
  if (opened && shares_files()) opened = MakeShare();
  if (!opened) Stop();
  return opened;
}

Result<void> Machine::MakeShare() {
  auto share = KATA_TRY(storage::SharedDirectory::Create(name_));
  const std::lock_guard lock(share_mutex_);
  share_ = std::move(share);
  return {};
}

Result<void> Machine::Boot(const MachineSize& containers,
                           const agent::CreateSandboxRequest& sandbox, const std::string& network) {
  KATA_TRY(Advance(MachineState::kOpen, MachineState::kBooting));
  if (auto entered = EnterCgroup(); !entered) {
    if (entered.error().code() == Code::kFailedPrecondition) {
      Stop();
      return entered;
    }
    log::Warn("the host's cgroup is not used", {{"error", entered.error().message()}});
  }
  auto started = [&]() -> Result<void> {
    if (!prepared_.empty()) {
      auto taken = TakePrepared(containers, sandbox, network);
      prepared_.clear();
      if (taken) return taken;
      KATA_TRY(CheckStarting());
      log::Warn("the warm machine cannot be used", {{"error", taken.error().message()}});
      UndoStart();
      CloseNetwork();
    }
    std::unique_ptr<GuestNetwork> opened = KATA_TRY(host_.open_network(network));
    {
      const std::lock_guard lock(mutex_);
      network_ = std::move(opened);
    }
    Phases phases;
    KATA_TRY(StartGuest(TotalSize(config().hypervisor, containers), phases));
    KATA_TRY(EnterSandbox(containers, sandbox, phases));
    phases.Log("machine booted", origin_);
    boot_phases_ = phases.list();
    return {};
  }();
  if (started) started = Advance(MachineState::kBooting, MachineState::kRunning);
  if (!started) {
    Error error = Explain(std::move(started).error());
    // The VMM only sees that its peer has gone.
    if (const std::string obituary = virtiofsd_ ? virtiofsd_->ExitReason() : "";
        !obituary.empty()) {
      error = std::move(error).Within(obituary);
    }
    Stop();
    return std::unexpected(std::move(error));
  }
  if (template_wanted_) BuildTemplate();
  return {};
}

Result<sys::UniqueFd> Machine::LockOwnRecord() {
  const std::string& id = identity_.sandbox_id;
  const Deadline deadline = Deadline::After(kPredecessorPatience);
  for (;;) {
    sys::UniqueFd records_lock = KATA_TRY(LockRecords(records()));
    const auto earlier = LoadRecord(id, records());
    if (!earlier || earlier->owner != identity_.owner) return records_lock;
    const auto shim = std::ranges::find_if(earlier->processes, [](const ProcessEntry& process) {
      return process.role == ProcessRole::kShim && process.pid != ::getpid() && IsAlive(process);
    });
    if (shim == earlier->processes.end()) return records_lock;
    if (deadline.Passed()) {
      return Fail(Code::kUnavailable,
                  fmt::format("an earlier shim of sandbox \"{}\", process {}, is still ending; "
                              "try again, or kill it",
                              id, shim->pid));
    }
    records_lock.Reset();
    std::this_thread::sleep_for(kPredecessorPause);
  }
}

Result<void> Machine::CheckRecord() {
  const std::string& id = identity_.sandbox_id;
  const auto other = LoadRecord(id, records());
  if (!other || other->owner == identity_.owner) return {};
  if (std::ranges::any_of(other->processes, IsAlive)) {
    return Fail(Code::kAlreadyExists,
                fmt::format("sandbox \"{}\" runs already under another containerd namespace or "
                            "another --root; choose another id",
                            id));
  }
  LogIfFailed(Cleanup(*other, Deadline::After(seconds(5)), host_.roots));
  return {};
}

Result<void> Machine::BeginRecord() {
  const sys::UniqueFd lock_of_records = KATA_TRY(LockOwnRecord());
  KATA_TRY(CheckRecord());
  {
    const std::lock_guard lock(mutex_);
    record_ = {.id = identity_.sandbox_id, .owner = identity_.owner};
    record_.paths = {storage::SharedDirectory::RootOf(name_), VmDirectory()};
    if (const auto self = DescribeProcess(::getpid(), ProcessRole::kShim)) {
      record_.processes.push_back(*self);
    }
    end_reason_.clear();
    virtiofsd_obituary_.clear();
  }
  return Save();
}

Result<void> Machine::TakeRecord() {
  const sys::UniqueFd lock_of_records = KATA_TRY(LockOwnRecord());
  KATA_TRY(CheckRecord());
  std::string before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(record_.id, identity_.sandbox_id);
    record_.owner = identity_.owner;
  }
  KATA_TRY(Save());
  return sys::RemoveTree(RecordDir(before, records()));
}

Result<void> Machine::EnterCgroup() {
  std::vector<pid_t> others;
  if (!prepared_.empty()) others = PartPids();
  if (!cgroup_path_.empty()) {
    cgroup_ = KATA_TRY(HostCgroup::Plan(cgroup_path_));
    {
      const std::lock_guard lock(mutex_);
      record_.cgroups = cgroup_->ours();
    }
    KATA_TRY(Save());
  }
  // What is started from here on is there from its beginning; what runs already is moved meanwhile.
  if (prepared_.empty()) return MoveToCgroup({});
  const std::lock_guard lock(moving_mutex_);
  moving_ = std::async(std::launch::async,
                       [this, others = std::move(others)] { return MoveToCgroup(others); });
  return {};
}

Result<void> Machine::MoveToCgroup(const std::vector<pid_t>& others) {
  if (cgroup_) return cgroup_->Enter(others);
  // Out of the service's, which ends what is there.
  for (const std::string& directory : home_) {
    KATA_TRY(sys::JoinCgroup(directory, ::getpid()));
    for (const pid_t pid : others) (void)sys::JoinCgroup(directory, pid);
  }
  return {};
}

void Machine::FinishMove() {
  const std::lock_guard lock(moving_mutex_);
  if (!moving_.valid()) return;
  if (const auto moved = moving_.get(); !moved) {
    log::Warn("the host's cgroup is not used", {{"error", moved.error().message()}});
  }
}

Result<void> Machine::SyncNetwork() {
  std::shared_ptr<GuestNetwork> network;
  std::shared_ptr<hypervisor::Hypervisor> vm;
  std::shared_ptr<agent::AgentClient> agent;
  {
    const std::lock_guard lock(mutex_);
    network = network_;
    vm = vm_;
    agent = agent_;
  }
  if (!network || !agent || !alive()) return {};
  return network->Sync(*vm, *agent,
                       Deadline::After(milliseconds(config().agent.request_timeout_ms)));
}

void Machine::OnVmExit(const hypervisor::VmExit& exit) {
  std::shared_ptr<hypervisor::Hypervisor> vm;
  {
    const std::lock_guard lock(mutex_);
    end_reason_ = virtiofsd_obituary_.empty() ? exit.message : virtiofsd_obituary_;
    ended_.notify_all();
    if (agent_) agent_->Close(Error(Code::kUnavailable, exit.message));
    // While it starts, who starts it gets the error; while it ends, nobody need be told.
    if (state_ != MachineState::kRunning && state_ != MachineState::kWaiting) return;
    if (state_ == MachineState::kRunning) state_ = MachineState::kLost;
    vm = vm_;
  }
  log::Error("the machine has ended",
             {{"reason", exit.message}, {"console", vm->ConsoleTail(kConsoleLines)}});
  if (identity_.on_end) identity_.on_end();
}

Error Machine::Explain(Error error) const {
  const Code code = error.code();
  const auto vm = this->vm();
  if ((code != Code::kUnavailable && code != Code::kDeadlineExceeded) || !vm) return error;
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
  const std::string console = vm->ConsoleTail(kConsoleLines);
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

void Machine::ForgetEnded(pid_t pid) {
  {
    const std::lock_guard lock(mutex_);
    sandbox::ForgetEnded(&record_, pid);
  }
  if (booted()) LogIfFailed(Save());
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
  if (booted()) LogIfFailed(Save());
}

Result<void> Machine::Save() {
  const std::lock_guard lock(mutex_);
  return SaveRecord(record_, records());
}

bool Machine::HoldsWrites() const {
  if (const auto vm = this->vm(); vm && vm->has_disks()) return true;
  const config::StringList& arguments = config().hypervisor.virtio_fs_extra_args;
  return std::ranges::any_of(arguments, [](const std::string& argument) {
    return argument.find("writeback") != std::string::npos;
  });
}

std::string Machine::NextDiskId() { return fmt::format("disk{}", disks_++); }

Result<void> Machine::CopyOnce(const VolumeCopy& copy) {
  std::promise<Result<void>> sent;
  std::shared_future<Result<void>> of_other;
  {
    const std::lock_guard lock(copies_mutex_);
    const auto [entry, is_new] = copies_.try_emplace(copy.path);
    if (is_new) {
      entry->second = sent.get_future().share();
    } else {
      of_other = entry->second;
    }
  }
  if (of_other.valid()) return of_other.get();
  const Result<void> result = SendVolume(copy, *agent());
  if (!result) {
    const std::lock_guard lock(copies_mutex_);
    copies_.erase(copy.path);
  }
  sent.set_value(result);
  return result;
}

void Machine::Kill() {
  if (const auto vm = this->vm(); vm && alive()) vm->Kill();
}

void Machine::Abort() {
  std::shared_ptr<hypervisor::Hypervisor> vm;
  {
    const std::lock_guard lock(mutex_);
    if (state_ == MachineState::kNone || state_ == MachineState::kEnding) return;
    state_ = MachineState::kEnding;
    if (end_reason_.empty()) vm = vm_;
  }
  // Where the VMM has no process yet, StartVmm finds the state when it has one.
  if (vm) vm->Kill();
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

void Machine::CloseNetwork() {
  std::shared_ptr<GuestNetwork> network;
  {
    const std::lock_guard lock(mutex_);
    network = std::exchange(network_, nullptr);
  }
  if (network) network->Close();
}

void Machine::Stop() {
  const std::lock_guard stop_lock(stop_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (state_ == MachineState::kNone) return;
    state_ = MachineState::kEnding;
  }
  FinishMove();
  // That takes as long as the end of a VMM.
  auto leaving = std::async(std::launch::async, [this] {
    if (cgroup_) cgroup_->Leave();
  });
  // No grace: disks are raw, and what the guest has written to them is the host's already.
  if (const auto vm = this->vm()) vm->Stop(milliseconds(0));
  StopVirtiofsd();
  CloseNetwork();
  {
    const std::lock_guard lock(share_mutex_);
    if (share_) {
      LogIfFailed(share_->Remove());
      share_.reset();
    }
  }
  {
    const std::lock_guard lock(copies_mutex_);
    copies_.clear();
  }
  SandboxRecord record;
  {
    const std::lock_guard lock(mutex_);
    record = std::exchange(record_, SandboxRecord{});
  }
  leaving.wait();
  cgroup_.reset();
  // What is still recorded has ended by now; this removes the files, the record last.
  if (!record.paths.empty()) LogIfFailed(Cleanup(record, Deadline::After(seconds(5)), host_.roots));
  // Not before: another beginning would find its own things removed.
  SetState(MachineState::kNone);
}

}  // namespace kata::sandbox
