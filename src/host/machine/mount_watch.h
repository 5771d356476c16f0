// SPDX-License-Identifier: Apache-2.0
//
// host/machine/mount_watch.h - hearing of changes in tables of mounts.
//
// Basis: proc_pid_mountinfo(5): the file is "ready" after each change of its namespace's table.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::sandbox {

// Safe from every thread, but that Stop() comes after all others. One thread waits, from the first
// table on.
class MountWatch {
 public:
  // `on_change` runs on that thread: after each change of a table that is watched, and once after
  // each Set().
  explicit MountWatch(std::function<void()> on_change) : on_change_(std::move(on_change)) {}
  MountWatch(const MountWatch&) = delete;
  MountWatch& operator=(const MountWatch&) = delete;
  // Blocks as Stop().
  ~MountWatch() { Stop(); }

  // Watches the tables of these mount namespaces, descriptors or -1 for this process's own, and no
  // others any more.
  Result<void> Set(const std::vector<int>& namespaces) KATA_EXCLUDES(mutex_);
  // Waits for an `on_change` that is under way.
  void Stop() KATA_EXCLUDES(mutex_);

 private:
  using Tables = std::vector<sys::UniqueFd>;

  // Returns when something has happened; false: at the end.
  bool Wait() KATA_EXCLUDES(mutex_);

  const std::function<void()> on_change_;

  Mutex mutex_;
  std::shared_ptr<const Tables> tables_ KATA_GUARDED_BY(mutex_) = std::make_shared<Tables>();
  bool stopping_ KATA_GUARDED_BY(mutex_) = false;
  sys::UniqueFd wakeup_ KATA_GUARDED_BY(mutex_);  // as long as the thread
  std::thread thread_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
