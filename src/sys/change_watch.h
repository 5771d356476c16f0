// SPDX-License-Identifier: Apache-2.0
//
// sys/change_watch.h - hearing of changes in directories.
//
// (Not named inotify.h, which is the C library's <sys/inotify.h>.)
// Basis: inotify(7). A user has few instances (fs.inotify.max_user_instances, often 128): one for
// many watches.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// Safe from every thread.
class Inotify {
 public:
  // Errors  kResourceExhausted  the user has no more instances
  static Result<Inotify> Create();

  // Readable when there are events.
  int fd() const { return fd_.get(); }

  // Watches the file or directory behind `file`, open in any way, for `mask`. Its number: the same
  // one for the same file.
  Result<int> Watch(int file, uint32_t mask) const;
  // What is not watched any more is fine.
  void Forget(int watch) const;

  // What has happened since: numbers, each once, in no order. Does not block.
  struct Events {
    std::vector<int> watches;
    bool lost = false;  // there was more than the kernel keeps: anything may have happened
  };
  Result<Events> Take() const;

 private:
  explicit Inotify(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace kata::sys
