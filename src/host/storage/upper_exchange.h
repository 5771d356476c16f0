// SPDX-License-Identifier: Apache-2.0
//
// host/storage/upper_exchange.h - an upper layer on its way to a guest that shares no directory
// with the host, and back: behind the file system of the disk that the guest has it on
// (upper/area.h).
#pragma once

#include <time.h>

#include <cstdint>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/fd.h"
#include "upper/area.h"

namespace kata::storage {

// Safe from every thread. Its calls take as long as there are files.
class UpperExchange {
 public:
  // `disk` is the file of a disk with an ext4 file system, which is made longer (sparse), open for
  // reading and writing; `upper` the directory that is the host's layer.
  // Errors  kDataLoss  there is no such file system
  static Result<UpperExchange> Open(int disk, const std::string& upper);
  UpperExchange(UpperExchange&&) noexcept;
  UpperExchange& operator=(UpperExchange&&) = delete;

  // "BEGIN:BYTES", as the agent is to be told.
  std::string words() const;

  // Leaves the host's layer for a guest that has none. Before it begins.
  Result<void> Give() KATA_EXCLUDES(mutex_);
  // Has a guest that has one leave all of it the next time.
  Result<void> Forget() KATA_EXCLUDES(mutex_);
  // Makes the host's layer what the guest has left, if it has left anything since the last time.
  // What is returned is for the log; empty: nothing.
  // Errors  as upper::Unpack; it can be tried again when the guest has left it again
  Result<std::string> Take() KATA_EXCLUDES(mutex_);

 private:
  UpperExchange(sys::UniqueFd disk, sys::UniqueFd upper, uint64_t begin, uint64_t bytes)
      : disk_(std::move(disk)), upper_(std::move(upper)), begin_(begin), bytes_(bytes) {}
  upper::Area area() const { return {.fd = disk_.get(), .begin = begin_, .bytes = bytes_}; }
  // Where the layer is, whatever its path leads to by now.
  std::string directory() const;
  void Punch() const;

  sys::UniqueFd disk_;
  sys::UniqueFd upper_;
  uint64_t begin_;
  uint64_t bytes_;
  Mutex mutex_;
  uint64_t generation_ KATA_GUARDED_BY(mutex_) = 0;  // of what both sides have
  timespec since_ KATA_GUARDED_BY(mutex_){};         // when they had
};

}  // namespace kata::storage
