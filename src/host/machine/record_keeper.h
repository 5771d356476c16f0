// SPDX-License-Identifier: Apache-2.0
//
// host/machine/record_keeper.h - the one keeper of a sandbox's record (host/record/record.h) while
// its machine is there.
//
// What is changed is on the disk on return. Safe from every thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/record/cleanup.h"
#include "host/record/record.h"
#include "sys/fd.h"

namespace kata::sandbox {

class RecordKeeper {
 public:
  explicit RecordKeeper(CleanupRoots roots) : roots_(std::move(roots)) {}

  // The directory of all records.
  const std::string& directory() const { return roots_.records; }

  // Begins the record of a sandbox, which will make things at `paths`, when an earlier shim of this
  // very sandbox has gone and what a dead one left is removed.
  // Errors  kAlreadyExists  a sandbox of this id lives under another owner
  //         kUnavailable    the earlier shim does not go
  Result<void> Begin(const std::string& id, const std::string& owner,
                     std::vector<std::string> paths) KATA_EXCLUDES(mutex_);
  // Makes it the record of this sandbox, with all that is in it. Errors as Begin.
  Result<void> Rename(const std::string& id, const std::string& owner) KATA_EXCLUDES(mutex_);

  // Of these, what cannot be written is logged.
  void AddProcess(pid_t pid, ProcessRole role) KATA_EXCLUDES(mutex_);
  // Takes out one that has ended.
  void RemoveEnded(pid_t pid) KATA_EXCLUDES(mutex_);
  void AddContainer(const std::string& container_id) KATA_EXCLUDES(mutex_);
  void RemoveContainer(const std::string& container_id) KATA_EXCLUDES(mutex_);

  Result<void> SetNetworks(std::vector<NetworkEntry> networks) KATA_EXCLUDES(mutex_);
  // Leaves out those that are not recordable.
  Result<void> SetUppers(std::vector<storage::UpperTrace> uppers) KATA_EXCLUDES(mutex_);
  Result<void> SetCgroups(std::vector<std::string> directories) KATA_EXCLUDES(mutex_);

  // Removes what is recorded, all of which has ended, and the record last. Nothing is written from
  // here on until the next Begin.
  void Remove(Deadline deadline) KATA_EXCLUDES(mutex_);

 private:
  // Keeps others from beginning or looking at a record, once an earlier shim of this sandbox has
  // gone: what it removes late would be ours.
  Result<sys::UniqueFd> LockOwn(const std::string& id, const std::string& owner) const;
  // Refuses an id that lives elsewhere, removes what a dead sandbox of this id left.
  Result<void> CheckOther(const std::string& id, const std::string& owner) const;
  Result<void> Save() KATA_REQUIRES(mutex_);

  const CleanupRoots roots_;
  Mutex mutex_;  // a writing at a time, too
  SandboxRecord record_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
