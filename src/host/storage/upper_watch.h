// SPDX-License-Identifier: Apache-2.0
//
// host/storage/upper_watch.h - telling one overlay that another one has changed its upper layer.
//
// Host and guest each have an overlay over the same upper layer, and neither hears of what the
// other does: a name that was looked up and not found is missing for ever, a file of a lower layer
// that was read stays as it was. Having such an overlay look anew ("reconfigure") mends it at once.
// So the directories of the upper layer are watched, and the process that wrote tells which side
// it was.
//
// All upper layers of a sandbox have one listener, of which a host has few, and one thread, which
// waits, since looking anew can take a while and event loops must not block. Idle, it uses no time.
// A side is told of the first change at once and of those after it at most every kPause. The guest
// sees the upper layer through virtiofs, which knows names for some time without asking: an overlay
// that looked anew within that time would keep what is no longer. So it is told again kEchoes after
// it was told. Of each upper layer kMaxDirectories are watched and no more; when there are
// more, both sides are told once a second for a minute after each change that is still seen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::storage {

// Called on the thread of the watches, one at a time, from Add() on.
struct UpperReaders {
  // Processes of the server have written: the host's overlay is to look anew.
  std::function<void()> guest_wrote;
  // Others have: the guest's is. Must not wait for the guest.
  std::function<void()> host_wrote;
};

// An upper layer that is watched.
class UpperWatch {
 public:
  static constexpr auto kPause = std::chrono::milliseconds(20);
  // More than names are known for in the cache mode "auto" of the daemons in C and in Rust.
  // The last ones are for names that were in use.
  static constexpr std::chrono::milliseconds kEchoes[] = {
      std::chrono::milliseconds(150), std::chrono::milliseconds(1200), std::chrono::seconds(10),
      std::chrono::minutes(1)};
  static constexpr size_t kMaxDirectories = 8192;

  UpperWatch(const UpperWatch&) = delete;
  UpperWatch& operator=(const UpperWatch&) = delete;
  // After it nobody is called. Waits for a call that is under way; not from within one.
  ~UpperWatch();

 private:
  friend class UpperWatches;
  class Entry;
  explicit UpperWatch(std::unique_ptr<Entry> entry);
  std::unique_ptr<Entry> entry_;
};

// Safe from every thread.
class UpperWatches {
 public:
  class Watcher;

  // `upper` is open for reading. `server` is what writes for the guest, with its descendants.
  // Changes of before are not told. What it returns may outlive this.
  // Errors  kUnimplemented      the file system does not tell of changes
  //         kResourceExhausted  the host has too many listeners
  Result<std::unique_ptr<UpperWatch>> Add(sys::UniqueFd upper, pid_t server, UpperReaders readers,
                                          size_t max_directories = UpperWatch::kMaxDirectories)
      KATA_EXCLUDES(mutex_);

 private:
  Result<std::shared_ptr<Watcher>> Open() KATA_EXCLUDES(mutex_);

  Mutex mutex_;
  std::weak_ptr<Watcher> watcher_ KATA_GUARDED_BY(mutex_);  // while anything is watched
};

}  // namespace kata::storage
