// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/container.h"

#include <utility>

#include <fmt/format.h>

namespace kata::sandbox {

void Container::SetInit(std::shared_ptr<Process> init) {
  const MutexLock lock(mutex_);
  init_ = std::move(init);
}

GuestContainer& Container::SetGuest(std::unique_ptr<GuestContainer> guest) {
  const MutexLock lock(mutex_);
  guest_ = std::move(guest);
  return *guest_;
}

std::unique_ptr<GuestContainer> Container::TakeGuest() {
  const MutexLock lock(mutex_);
  return std::move(guest_);
}

Result<std::shared_ptr<Process>> Container::Find(const std::string& exec_id) const {
  const MutexLock lock(mutex_);
  if (exec_id.empty()) return init_;
  const auto it = execs_.find(exec_id);
  if (it == execs_.end()) {
    return Fail(Code::kNotFound, fmt::format("no exec \"{}\" in container \"{}\"", exec_id, id_));
  }
  return it->second;
}

Result<void> Container::AddExec(std::shared_ptr<Process> exec) {
  const MutexLock lock(mutex_);
  const std::string& exec_id = exec->exec_id();
  if (closed_) {
    return Fail(Code::kFailedPrecondition, fmt::format("container \"{}\" is being deleted", id_));
  }
  if (!execs_.emplace(exec_id, exec).second) {
    return Fail(Code::kAlreadyExists,
                fmt::format("exec \"{}\" already exists in container \"{}\"", exec_id, id_));
  }
  return {};
}

void Container::RemoveExec(const std::string& exec_id) {
  const MutexLock lock(mutex_);
  execs_.erase(exec_id);
}

std::vector<std::shared_ptr<Process>> Container::Processes() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Process>> all;
  for (const auto& [id, exec] : execs_) all.push_back(exec);
  if (init_) all.push_back(init_);
  return all;
}

bool Container::paused() const {
  const MutexLock lock(mutex_);
  return paused_;
}

void Container::SetPaused(bool paused) {
  const MutexLock lock(mutex_);
  paused_ = paused;
}

std::vector<std::shared_ptr<Process>> Container::Close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  return Processes();
}

}  // namespace kata::sandbox
