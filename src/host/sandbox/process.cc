// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process.h"

#include <utility>

namespace kata::sandbox {

ProcessState Process::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

oci::Process Process::spec() const {
  const std::lock_guard lock(mutex_);
  return spec_;
}

void Process::SetConsoleSize(uint32_t rows, uint32_t columns) {
  const std::lock_guard lock(mutex_);
  spec_.mutable_console_size()->set_height(rows);
  spec_.mutable_console_size()->set_width(columns);
}

ExitInfo Process::exit() const {
  const std::lock_guard lock(mutex_);
  return exit_;
}

Result<void> Process::ClaimStart() {
  const std::lock_guard lock(mutex_);
  if (state_ == ProcessState::kStopped) {
    return Fail(Code::kFailedPrecondition, "process has ended");
  }
  if (state_ == ProcessState::kRunning || starting_) {
    return Fail(Code::kFailedPrecondition, "process has been started already");
  }
  starting_ = true;
  return {};
}

void Process::ReturnStart() { EndStart(); }

void Process::Started(const std::function<void()>& announce) {
  {
    const std::lock_guard lock(mutex_);
    state_ = ProcessState::kRunning;
  }
  announce();
  EndStart();
}

void Process::EndStart() {
  std::optional<ExitInfo> early;
  {
    const std::lock_guard lock(mutex_);
    starting_ = false;
    early.swap(early_exit_);
  }
  if (early) Exited(*early);
}

void Process::KnowExit(ExitInfo exit) {
  const std::lock_guard lock(mutex_);
  known_exit_ = exit;
}

void Process::Exited(ExitInfo exit) {
  std::vector<ExitCallback> callbacks;
  {
    const std::lock_guard lock(mutex_);
    if (state_ == ProcessState::kStopped) return;
    if (known_exit_) exit = *known_exit_;
    if (starting_) {
      if (!early_exit_) early_exit_ = exit;
      return;
    }
    state_ = ProcessState::kStopped;
    exit_ = exit;
    callbacks.swap(callbacks_);
  }
  for (ExitCallback& callback : callbacks) callback(exit);
}

void Process::OnExit(ExitCallback callback) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != ProcessState::kStopped) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback(exit());
}

}  // namespace kata::sandbox
