// SPDX-License-Identifier: Apache-2.0
//
// host/machine/direct_disks.h - disks of a machine that several containers have as volumes:
// attached once, mounted in the guest once, and detached with the last container.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::sandbox {

struct DirectDisk {
  std::string disk_id;     // of the machine
  agent::Storage storage;  // as the guest is asked for it
};

// Whether the disk's file system can grow in the guest.
// Errors  kUnimplemented, kFailedPrecondition  why not, and what to do
Result<void> CheckGrows(const DirectDisk& disk);

// Safe from every thread.
class DirectDisks {
 public:
  // The disk of the volume at `source`, which `attach` gives unless a container has it already;
  // then that attachment is waited for. The container has it until it is released, also after an
  // error.
  Result<agent::Storage> Use(const std::string& container_id, const std::string& source,
                             const std::function<Result<DirectDisk>()>& attach)
      KATA_EXCLUDES(mutex_);

  struct Free {
    std::string source;
    std::string disk_id;  // empty: it was not attached
  };
  // The container has none any more; those that nobody has. Not while one of its Use() is under
  // way.
  std::vector<Free> Release(const std::string& container_id) KATA_EXCLUDES(mutex_);

  // The disk of the volume. Waits for its attachment.
  // Errors  kNotFound  no container has it
  Result<DirectDisk> Find(const std::string& source) KATA_EXCLUDES(mutex_);

 private:
  struct Entry {
    std::shared_future<Result<DirectDisk>> disk;
    std::set<std::string> users;
  };
  Mutex mutex_;
  std::map<std::string, Entry> entries_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
