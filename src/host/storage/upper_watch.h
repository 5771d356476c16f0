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
// A thread of its own waits, since looking anew can take a while and event loops must not block.
// Idle, it uses no time. A side is told of the first change at once and of those after it at most
// every kPause. The guest sees the upper layer through virtiofs, which knows names for some time
// without asking: an overlay that looked anew within that time would keep what is no longer. So it
// is told again kEchoes after it was told. Watched are kMaxDirectories and no more; when there are
// more, both sides are told once a second for a minute after each change that is still seen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::storage {

// Called on the watch's thread, one at a time, from Start() on.
struct UpperReaders {
  // Processes of the server have written: the host's overlay is to look anew.
  std::function<void()> guest_wrote;
  // Others have: the guest's is. Must not wait for the guest.
  std::function<void()> host_wrote;
};

class UpperWatch {
 public:
  static constexpr auto kPause = std::chrono::milliseconds(20);
  // More than names are known for in the cache mode "auto" of the daemons in C and in Rust.
  // The last ones are for names that were in use.
  static constexpr std::chrono::milliseconds kEchoes[] = {
      std::chrono::milliseconds(150), std::chrono::milliseconds(1200), std::chrono::seconds(10),
      std::chrono::minutes(1)};
  static constexpr size_t kMaxDirectories = 8192;

  // `upper` is open for reading. `server` is what writes for the guest, with its descendants.
  // Changes of before Start() are not told.
  // Errors  kUnimplemented      the file system does not tell of changes
  //         kResourceExhausted  the host has too many such watches
  static Result<std::unique_ptr<UpperWatch>> Start(sys::UniqueFd upper, pid_t server,
                                                   UpperReaders readers,
                                                   size_t max_directories = kMaxDirectories);
  UpperWatch(const UpperWatch&) = delete;
  UpperWatch& operator=(const UpperWatch&) = delete;
  // After it nobody is called. Waits for a call that is under way; not from within one.
  ~UpperWatch();

 private:
  class Watcher;
  explicit UpperWatch(std::unique_ptr<Watcher> watcher);
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace kata::storage
