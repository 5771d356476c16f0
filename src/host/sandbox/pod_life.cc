// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/pod_life.h"

#include <utility>

namespace kata::sandbox {
namespace {

using std::chrono::system_clock;

std::unexpected<Error> NotCreated() {
  return Fail(Code::kNotFound, "no sandbox was created by the sandbox API");
}

}  // namespace

Result<void> PodLife::BeginCreate() {
  const MutexLock lock(mutex_);
  if (state_ != State::kNone) return Fail(Code::kAlreadyExists, "the sandbox already exists");
  state_ = State::kCreating;
  return {};
}

void PodLife::CreateDone(bool created) {
  const MutexLock lock(mutex_);
  if (state_ == State::kCreating) state_ = created ? State::kCreated : State::kNone;
  changed_.NotifyAll();
}

Result<void> PodLife::BeginStart() {
  const MutexLock lock(mutex_);
  switch (state_) {
    case State::kNone:
    case State::kCreating:
      return Fail(Code::kFailedPrecondition, "the sandbox has not been created");
    case State::kCreated:
      state_ = State::kStarting;
      return {};
    case State::kStarting:
    case State::kReady:
      return Fail(Code::kFailedPrecondition, "the sandbox has been started already");
    case State::kEnded:
    case State::kStopping:
    case State::kStopped:
      break;
  }
  return Fail(Code::kFailedPrecondition, "the sandbox has ended; create another one");
}

bool PodLife::Started() {
  const MutexLock lock(mutex_);
  if (state_ != State::kStarting) return false;
  created_at_ = system_clock::now();
  state_ = State::kReady;
  changed_.NotifyAll();
  return true;
}

void PodLife::End(const std::function<bool(State)>& from, State to, uint32_t status) {
  std::vector<ExitCallback> due;
  ExitInfo exit;
  {
    const MutexLock lock(mutex_);
    if (!from(state_)) return;
    state_ = to;
    if (!exit_) exit_ = ExitInfo{.status = status, .at = system_clock::now()};
    exit = *exit_;
    due = std::exchange(callbacks_, {});
    changed_.NotifyAll();
  }
  for (ExitCallback& callback : due) callback(exit);
}

void PodLife::StartFailed() {
  End([](State state) { return state == State::kStarting; }, State::kEnded, kKilled);
}

void PodLife::MachineEnded() {
  End([](State state) { return state == State::kReady; }, State::kEnded, kKilled);
}

void PodLife::Stopped() {
  End([](State state) { return state != State::kNone && state != State::kStopped; },
      State::kStopped, 0);
}

Result<bool> PodLife::BeginStop(const std::function<void()>& abort) {
  bool starting = false;
  {
    const MutexLock lock(mutex_);
    if (state_ == State::kNone || state_ == State::kCreating) return NotCreated();
    starting = state_ == State::kStarting;
  }
  if (starting) abort();
  const MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) {
    return state_ != State::kStarting && state_ != State::kStopping;
  });
  if (state_ == State::kStopped) return false;
  state_ = State::kStopping;
  return true;
}

Result<void> PodLife::OnExit(ExitCallback callback) {
  ExitInfo exit;
  {
    const MutexLock lock(mutex_);
    if (state_ == State::kNone || state_ == State::kCreating) return NotCreated();
    if (!exit_) {
      callbacks_.push_back(std::move(callback));
      return {};
    }
    exit = *exit_;
  }
  callback(exit);
  return {};
}

PodLife::View PodLife::view() const {
  const MutexLock lock(mutex_);
  return {.state = state_, .created_at = created_at_, .exit = exit_};
}

}  // namespace kata::sandbox
