// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process.h"

#include <utility>

namespace kata::sandbox {

ProcessState Process::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

bool Process::ended() const {
  const MutexLock lock(mutex_);
  return state_ == ProcessState::kStopped || state_ == ProcessState::kDeleted;
}

oci::Process Process::spec() const {
  const MutexLock lock(mutex_);
  return spec_;
}

void Process::SetConsoleSize(uint32_t rows, uint32_t columns) {
  const MutexLock lock(mutex_);
  spec_.mutable_console_size()->set_height(rows);
  spec_.mutable_console_size()->set_width(columns);
}

void Process::SetReport(std::function<void(const ExitInfo&)> report) {
  const MutexLock lock(mutex_);
  report_ = std::move(report);
}

ExitInfo Process::exit() const {
  const MutexLock lock(mutex_);
  return exit_.value_or(ExitInfo{});
}

std::vector<Process::ExitCallback> Process::Tell(ExitInfo exit) {
  if (exit_) return {};
  exit_ = known_exit_.value_or(exit);
  if (state_ != ProcessState::kDeleted) state_ = ProcessState::kStopped;
  if (report_) report_(*exit_);
  return std::exchange(callbacks_, {});
}

Process::Due Process::Enter(ProcessState state) {
  state_ = state;
  idle_.NotifyAll();
  Due due{.of_exit = {}, .deferred = std::exchange(deferred_, {})};
  if (const auto held = std::exchange(held_exit_, std::nullopt)) due.of_exit = Tell(*held);
  return due;
}

void Process::Call(Due due) {
  const ExitInfo told = due.of_exit.empty() ? ExitInfo() : exit();
  for (ExitCallback& callback : due.of_exit) callback(told);
  for (const auto& callback : due.deferred) callback();
}

void Process::Created(const Announce& announce) {
  Due due;
  {
    const MutexLock lock(mutex_);
    announce();
    due = Enter(ProcessState::kCreated);
  }
  Call(std::move(due));
}

Result<void> Process::BeginStart() {
  const MutexLock lock(mutex_);
  switch (state_) {
    case ProcessState::kCreated:
      state_ = ProcessState::kStarting;
      return {};
    case ProcessState::kCreating:
      return Fail(Code::kFailedPrecondition, "process is being created");
    case ProcessState::kStarting:
    case ProcessState::kRunning:
      return Fail(Code::kFailedPrecondition, "process has been started already");
    case ProcessState::kStopped:
    case ProcessState::kDeleted:
      break;
  }
  return Fail(Code::kFailedPrecondition, "process has ended");
}

void Process::FailStart() {
  Due due;
  {
    const MutexLock lock(mutex_);
    if (state_ == ProcessState::kStarting) due = Enter(ProcessState::kCreated);
  }
  Call(std::move(due));
}

bool Process::Started(const Announce& announce) {
  Due due;
  {
    const MutexLock lock(mutex_);
    if (state_ != ProcessState::kStarting) return false;
    announce();
    due = Enter(ProcessState::kRunning);
  }
  Call(std::move(due));
  return true;
}

bool Process::Defer(std::function<void()> callback) {
  const MutexLock lock(mutex_);
  if (!busy()) return false;
  deferred_.push_back(std::move(callback));
  return true;
}

void Process::KnowExit(ExitInfo exit) {
  const MutexLock lock(mutex_);
  known_exit_ = exit;
}

void Process::Exited(ExitInfo exit) {
  Due due;
  {
    const MutexLock lock(mutex_);
    if (busy()) {
      if (!held_exit_) held_exit_ = exit;
      return;
    }
    due.of_exit = Tell(exit);
  }
  Call(std::move(due));
}

Result<void> Process::BeginDelete() {
  const MutexLock lock(mutex_);
  idle_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) { return !busy(); });
  if (state_ == ProcessState::kRunning)
    return Fail(Code::kFailedPrecondition, "it still runs; kill it first");
  if (state_ == ProcessState::kDeleted) return Fail(Code::kNotFound, "it is being deleted");
  // An exec that never ran has no end that others are told of: Docker would take its status for the
  // answer to a start that has failed. Who waits for it is answered all the same.
  if (state_ == ProcessState::kCreated && !exec_id_.empty()) report_ = nullptr;
  state_ = ProcessState::kDeleted;
  deleting_ = true;
  return {};
}

void Process::Deleted(const Announce& announce) {
  const MutexLock lock(mutex_);
  announce();
  deleting_ = false;
  idle_.NotifyAll();
}

void Process::DeleteWithContainer(ExitInfo exit) {
  Due due;
  {
    const MutexLock lock(mutex_);
    // Who creates or deletes it announces that in a moment.
    idle_.Wait(mutex_, [this]() KATA_REQUIRES(mutex_) {
      return state_ != ProcessState::kCreating && !deleting_;
    });
    due = Enter(ProcessState::kDeleted);
    if (due.of_exit.empty()) due.of_exit = Tell(exit);
  }
  Call(std::move(due));
}

void Process::OnExit(ExitCallback callback) {
  {
    const MutexLock lock(mutex_);
    if (!exit_) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback(exit());
}

}  // namespace kata::sandbox
