// SPDX-License-Identifier: Apache-2.0
//
// host/storage/watched_upper.h - one upper layer among those that are watched (upper_watch.h): its
// directories, what is known of its changes, and when which side is told.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>

#include "base/result.h"
#include "host/storage/upper_watch.h"
#include "sys/directory_changes.h"
#include "sys/fd.h"
#include "sys/file_handle.h"

namespace kata::storage {

// Not thread-safe.
class WatchedUpper {
 public:
  using Clock = std::chrono::steady_clock;

  // `changes` outlives it.
  WatchedUpper(sys::UniqueFd upper, sys::DirectoryChanges& changes, pid_t server,
               UpperReaders readers, size_t max_directories);
  WatchedUpper(const WatchedUpper&) = delete;
  WatchedUpper& operator=(const WatchedUpper&) = delete;
  // Nothing of it is told any more.
  ~WatchedUpper();

  // Watches all that there is. Errors  as sys::DirectoryChanges::Watch
  Result<void> Begin();
  // A change of any upper layer.
  void Take(const sys::DirectoryChange& change);
  // Tells who is to be told by now.
  void Tell(Clock::time_point now);
  // When Tell() has something to do though nothing changes; the end of time where it has not.
  Clock::time_point Next(Clock::time_point now) const;

 private:
  void LookAgain();
  // Watches a directory and all below that is not watched yet.
  void WatchTree(sys::FileHandle top);
  void WatchOne(const sys::FileHandle& directory, std::deque<sys::FileHandle>* below,
                size_t* entries);
  void GiveUpOnSome();

  const sys::UniqueFd upper_;
  sys::DirectoryChanges& changes_;
  const UpperReaders readers_;
  const size_t max_directories_;
  std::set<pid_t> servers_;
  std::optional<uint64_t> file_system_;  // as in sys::DirectoryChange
  std::set<sys::FileHandle> watched_;
  bool guest_wrote_ = false;
  bool host_wrote_ = false;
  bool some_unwatched_ = false;
  Clock::time_point restless_until_;
  Clock::time_point told_ = Clock::now();
  std::set<Clock::time_point> echoes_;  // when the guest is told again
};

}  // namespace kata::storage
