// SPDX-License-Identifier: Apache-2.0
//
// The machine's state, its end, and what is asked of it while it runs; machine_start.cc has its
// beginnings.
#include "host/machine/machine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kRemoveTime = seconds(5);

}  // namespace

Machine::Machine(std::string name, sys::EventLoop& loop, MachineHost host)
    : host_(std::move(host)), loop_(loop), record_(host_.roots), name_(std::move(name)) {
  identity_.sandbox_id = name_;
  identity_.owner = name_;
}

Machine::~Machine() = default;

void Machine::Identify(Identity identity) {
  const MutexLock lock(mutex_);
  identity_ = std::move(identity);
}

void Machine::UseCgroupsOf(std::vector<std::string> directories) {
  const MutexLock lock(mutex_);
  cgroup_goal_.home = std::move(directories);
}

void Machine::UseCgroup(std::string path) {
  const MutexLock lock(mutex_);
  cgroup_goal_.path = std::move(path);
}

bool Machine::is_open() const {
  const MutexLock lock(mutex_);
  return state_ == MachineState::kOpen || state_ == MachineState::kBooting ||
         state_ == MachineState::kRunning || state_ == MachineState::kLost;
}

bool Machine::booted() const {
  const MutexLock lock(mutex_);
  return state_ == MachineState::kRunning || state_ == MachineState::kLost;
}

bool Machine::alive() const {
  const MutexLock lock(mutex_);
  switch (state_) {
    case MachineState::kNone:
    case MachineState::kLost:
    case MachineState::kEnding:
      return false;
    case MachineState::kPreparing:
    case MachineState::kOpen:
    case MachineState::kBooting:
      return true;
    case MachineState::kWaiting:
      return waiting_->processes->alive();
    case MachineState::kRunning:
      return last_.guest->alive();
  }
  return false;
}

Result<std::stop_token> Machine::BeginStart(MachineState from, MachineState to) {
  const MutexLock lock(mutex_);
  if (state_ == MachineState::kNone) {
    return Fail(Code::kUnavailable,
                "the machine has ended before this container was in it; create it again");
  }
  if (state_ != from) return Unwanted();
  state_ = to;
  starting_ = true;
  start_ = std::stop_source();
  return start_.get_token();
}

void Machine::EndStart() {
  const MutexLock lock(mutex_);
  starting_ = false;
  changed_.NotifyAll();
}

Result<void> Machine::Keep(Made made) {
  const std::shared_ptr<Guest> guest = made.guest;
  Made before;  // goes without the lock
  bool kept = false;
  {
    const MutexLock lock(mutex_);
    if (state_ != MachineState::kBooting) return Unwanted();
    kept = guest->alive();
    if (kept) {
      before = std::exchange(last_, std::move(made));
      last_is_of_now_ = true;
      state_ = MachineState::kRunning;
    }
  }
  if (!kept) {
    return std::unexpected(
        guest->processes().Explain(Error(Code::kUnavailable, guest->processes().end_reason())));
  }
  // It may have ended since: that is heard of all the same.
  guest->processes().OnEnd(
      [this, which = guest.get()](const std::string& reason) { OnGuestEnd(which, reason); });
  return {};
}

Result<void> Machine::KeepWaiting(std::unique_ptr<StartedGuest> started, std::string key) {
  const MutexLock lock(mutex_);
  if (state_ != MachineState::kPreparing) return Unwanted();
  started->processes->OnEnd([this](const std::string& reason) { OnWaitingEnd(reason); });
  waiting_ = std::move(started);
  waiting_key_ = std::move(key);
  state_ = MachineState::kWaiting;
  return {};
}

std::shared_ptr<const Guest> Machine::guest() const {
  const MutexLock lock(mutex_);
  return last_.guest;
}

std::shared_ptr<agent::AgentClient> Machine::agent() const {
  const auto guest = this->guest();
  return guest ? guest->agent() : nullptr;
}

int Machine::pid() const {
  const auto guest = this->guest();
  return guest ? guest->pid() : 0;
}

std::shared_ptr<Growth> Machine::growth() const {
  const MutexLock lock(mutex_);
  const bool booted = state_ == MachineState::kRunning || state_ == MachineState::kLost;
  return booted ? last_.growth : nullptr;
}

std::shared_ptr<const config::Config> Machine::config() const {
  const MutexLock lock(mutex_);
  return std::shared_ptr<const config::Config>(config_, config_ ? &config_->config : nullptr);
}

std::string Machine::directory() const {
  const MutexLock lock(mutex_);
  return VmDirectory();
}

void Machine::AwaitBoot() const {
  std::shared_ptr<CgroupMove> cgroup;
  {
    const MutexLock lock(mutex_);
    cgroup = cgroup_;
  }
  if (cgroup) cgroup->Finish();
}

void Machine::SetOomScore(int score) const {
  std::vector<pid_t> pids = {::getpid()};
  {
    const MutexLock lock(mutex_);
    if (waiting_) {
      const std::vector<pid_t> others = waiting_->processes->pids();
      pids.insert(pids.end(), others.begin(), others.end());
    }
  }
  for (const pid_t pid : pids) {
    (void)sys::WriteControl(fmt::format("/proc/{}/oom_score_adj", pid), std::to_string(score));
  }
}

Error Machine::Explain(Error error) const {
  std::shared_ptr<Guest> guest;
  {
    const MutexLock lock(mutex_);
    // One of before knows nothing of what has failed now.
    if (last_is_of_now_) guest = last_.guest;
  }
  return guest ? guest->processes().Explain(std::move(error)) : error;
}

void Machine::Grow(const MachineSize& containers) {
  if (const auto growth = this->growth()) growth->Grow(containers);
}

Result<void> Machine::GrowOrRefuse(const MachineSize& containers) {
  const auto growth = this->growth();
  return growth ? growth->GrowOrRefuse(containers) : Result<void>();
}

void Machine::ReportSize(const MachineSize& containers) {
  if (const auto growth = this->growth()) growth->Report(containers);
}

Result<void> Machine::SyncNetwork() {
  const auto guest = this->guest();
  if (!guest || !alive()) return {};
  return guest->SyncNetwork(Deadline::After(milliseconds(config()->agent.request_timeout_ms)));
}

void Machine::ShareLoopback() const {
  if (const auto guest = this->guest()) guest->ShareLoopback();
}

bool Machine::HoldsWrites() const {
  if (const auto guest = this->guest(); guest && guest->vm()->has_disks()) return true;
  const auto config = this->config();
  return std::ranges::any_of(
      config->hypervisor.virtio_fs_extra_args,
      [](const std::string& argument) { return argument.find("writeback") != std::string::npos; });
}

void Machine::OnGuestEnd(const Guest* which, const std::string& reason) {
  std::shared_ptr<Guest> guest;
  std::function<void()> on_end;
  {
    const MutexLock lock(mutex_);
    // While it ends, nobody need be told.
    if (last_.guest.get() != which || state_ != MachineState::kRunning) return;
    state_ = MachineState::kLost;
    guest = last_.guest;
    on_end = identity_.on_end;
  }
  log::Error(
      "the machine has ended",
      {{"reason", reason}, {"console", guest->vm()->ConsoleTail(VmProcesses::kConsoleLines)}});
  if (on_end) on_end();
}

void Machine::OnWaitingEnd(const std::string& reason) {
  std::shared_ptr<hypervisor::Hypervisor> vm;
  std::function<void()> on_end;
  {
    const MutexLock lock(mutex_);
    // Whoever takes it sees it by himself.
    if (state_ != MachineState::kWaiting) return;
    vm = waiting_->processes->vm();
    on_end = identity_.on_end;
  }
  log::Error("the machine has ended",
             {{"reason", reason}, {"console", vm->ConsoleTail(VmProcesses::kConsoleLines)}});
  if (on_end) on_end();
}

void Machine::Kill() {
  if (const auto guest = this->guest(); guest && alive()) guest->processes().Kill();
}

void Machine::Abort() {
  std::stop_source start{std::nostopstate};
  std::shared_ptr<Guest> guest;
  {
    const MutexLock lock(mutex_);
    if (state_ == MachineState::kNone || state_ == MachineState::kEnding) return;
    state_ = MachineState::kEnding;
    start = start_;
    guest = last_.guest;
    if (waiting_) waiting_->processes->Kill();
  }
  start.request_stop();
  if (guest) guest->processes().Kill();
}

std::string Machine::sandbox_id() const {
  const MutexLock lock(mutex_);
  return identity_.sandbox_id;
}

void Machine::FollowMounts() {
  const auto watched = WithShare([&](storage::SharedDirectory& share) -> Result<void> {
    return mounts_.Set(share.FollowedNamespaces());
  });
  if (!watched && watched.error().code() != Code::kUnavailable) {
    log::Warn("what the host mounts below volumes does not come to them",
              {{"reason", watched.error().message()}});
  }
}

void Machine::OnMounts() {
  const auto changed =
      WithShare([](storage::SharedDirectory& share) -> Result<std::vector<std::string>> {
        return share.FollowMounts();
      });
  if (!changed || changed->empty()) return;
  if (const auto guest_agent = agent(); guest_agent && alive()) {
    guest_agent->ForgetPathsAsync(*changed);
  }
}

void Machine::Stop() {
  std::stop_source start{std::nostopstate};
  {
    const MutexLock lock(mutex_);
    if (stopping_) {
      return changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return !stopping_; });
    }
    if (state_ == MachineState::kNone) return;
    state_ = MachineState::kEnding;
    stopping_ = true;
    start = start_;
  }
  start.request_stop();
  std::shared_ptr<Guest> guest;
  std::unique_ptr<StartedGuest> waiting;
  std::shared_ptr<CgroupMove> cgroup;
  {
    const MutexLock lock(mutex_);
    // What is half made goes with whoever makes it.
    changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return !starting_; });
    guest = last_.guest;
    waiting = std::move(waiting_);
    cgroup = std::exchange(cgroup_, nullptr);
  }
  if (cgroup) cgroup->Finish();
  // That takes as long as the end of a VMM.
  auto leaving = std::async(std::launch::async, [&cgroup] {
    if (cgroup) cgroup->Leave();
  });
  if (guest) guest->Stop();
  waiting.reset();
  follower_.Stop();
  mounts_.Stop();
  {
    const MutexLock lock(share_mutex_);
    if (share_) LogIfFailed(share_->Remove());
    share_.reset();
  }
  leaving.wait();
  record_.Remove(Deadline::After(kRemoveTime));
  const MutexLock lock(mutex_);
  // Not before: another beginning would find its own things removed.
  state_ = MachineState::kNone;
  stopping_ = false;
  changed_.NotifyAll();
}

}  // namespace kata::sandbox
