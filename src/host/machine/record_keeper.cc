// SPDX-License-Identifier: Apache-2.0
#include "host/machine/record_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// For an earlier shim of the same sandbox to remove its own things, which have the same names.
constexpr auto kPredecessorPatience = seconds(10);
constexpr auto kPredecessorPause = milliseconds(10);
constexpr auto kCleanupTime = seconds(5);

}  // namespace

Result<sys::UniqueFd> RecordKeeper::LockOwn(const std::string& id, const std::string& owner) const {
  const Deadline deadline = Deadline::After(kPredecessorPatience);
  for (;;) {
    sys::UniqueFd records_lock = KATA_TRY(LockRecords(directory()));
    const auto earlier = LoadRecord(id, directory());
    if (!earlier || earlier->owner != owner) return records_lock;
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

Result<void> RecordKeeper::CheckOther(const std::string& id, const std::string& owner) const {
  const auto other = LoadRecord(id, directory());
  if (!other || other->owner == owner) return {};
  if (std::ranges::any_of(other->processes, IsAlive)) {
    return Fail(Code::kAlreadyExists,
                fmt::format("sandbox \"{}\" runs already under another containerd namespace or "
                            "another --root; choose another id",
                            id));
  }
  LogIfFailed(Cleanup(*other, Deadline::After(kCleanupTime), roots_));
  return {};
}

Result<void> RecordKeeper::Begin(const std::string& id, const std::string& owner,
                                 std::vector<std::string> paths) {
  const sys::UniqueFd lock_of_records = KATA_TRY(LockOwn(id, owner));
  KATA_TRY(CheckOther(id, owner));
  const MutexLock lock(mutex_);
  record_ = {.id = id, .owner = owner};
  record_.paths = std::move(paths);
  if (const auto self = DescribeProcess(::getpid(), ProcessRole::kShim)) {
    record_.processes.push_back(*self);
  }
  return Save();
}

Result<void> RecordKeeper::Rename(const std::string& id, const std::string& owner) {
  const sys::UniqueFd lock_of_records = KATA_TRY(LockOwn(id, owner));
  KATA_TRY(CheckOther(id, owner));
  const MutexLock lock(mutex_);
  const std::string before = std::exchange(record_.id, id);
  record_.owner = owner;
  KATA_TRY(Save());
  return sys::RemoveTree(RecordDir(before, directory()));
}

void RecordKeeper::AddProcess(pid_t pid, ProcessRole role) {
  const auto entry = DescribeProcess(pid, role);
  if (!entry) return;  // it has ended already
  const MutexLock lock(mutex_);
  record_.processes.push_back(*entry);
  LogIfFailed(Save());
}

void RecordKeeper::RemoveEnded(pid_t pid) {
  const MutexLock lock(mutex_);
  ForgetEnded(&record_, pid);
  LogIfFailed(Save());
}

void RecordKeeper::AddContainer(const std::string& container_id) {
  const MutexLock lock(mutex_);
  record_.containers.push_back(container_id);
  LogIfFailed(Save());
}

void RecordKeeper::RemoveContainer(const std::string& container_id) {
  const MutexLock lock(mutex_);
  std::erase(record_.containers, container_id);
  LogIfFailed(Save());
}

Result<void> RecordKeeper::SetNetworks(std::vector<NetworkEntry> networks) {
  const MutexLock lock(mutex_);
  record_.networks = std::move(networks);
  return Save();
}

Result<void> RecordKeeper::SetUppers(std::vector<storage::UpperTrace> uppers) {
  std::erase_if(uppers, [](const auto& trace) { return !IsRecordable(trace); });
  const MutexLock lock(mutex_);
  record_.uppers = std::move(uppers);
  return Save();
}

Result<void> RecordKeeper::SetCgroups(std::vector<std::string> directories) {
  const MutexLock lock(mutex_);
  record_.cgroups = std::move(directories);
  return Save();
}

Result<void> RecordKeeper::Save() {
  // Removed: what comes late is nobody's.
  if (record_.id.empty()) return {};
  return SaveRecord(record_, directory());
}

void RecordKeeper::Remove(Deadline deadline) {
  SandboxRecord record;
  {
    const MutexLock lock(mutex_);
    record = std::exchange(record_, SandboxRecord{});
    // The shared directory has taken it back; the front end may use them again by now.
    record.uppers.clear();
  }
  if (!record.paths.empty()) LogIfFailed(Cleanup(record, deadline, roots_));
}

}  // namespace kata::sandbox
