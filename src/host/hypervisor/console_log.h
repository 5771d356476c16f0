// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/console_log.h - the last words of a guest, or of a helper program.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::hypervisor {

// Keeps the last `capacity` bytes of a stream that somebody hostile may write. Every thread may
// use it.
class ConsoleLog {
 public:
  explicit ConsoleLog(size_t capacity = 64 << 10) : capacity_(capacity) {}

  void Append(std::string_view bytes);

  // At most the last `lines` non-empty lines and `max_bytes` bytes, joined by newlines. Only
  // printable ASCII and whole UTF-8-free text: escape sequences are dropped, other bytes become
  // '?'. A first line that was cut is left out.
  std::string Tail(size_t lines, size_t max_bytes = 4096) const;

  // The last line that contains `text`, sanitised; empty without one.
  std::string FindLast(std::string_view text) const;

  size_t total_bytes() const;

 private:
  std::string Snapshot() const;

  const size_t capacity_;
  mutable Mutex mutex_;
  std::string ring_ KATA_GUARDED_BY(mutex_);  // grows up to capacity_, then wraps at next_
  size_t next_ KATA_GUARDED_BY(mutex_) = 0;
  size_t total_ KATA_GUARDED_BY(mutex_) = 0;
};

// Reads a descriptor into a log for as long as it yields data. Made on any thread; the reading
// happens on the event loop, and on whoever calls Drain().
class LogReader : public std::enable_shared_from_this<LogReader> {
 public:
  // Takes over `fd`, a pipe or socket, and begins to watch it.
  static std::shared_ptr<LogReader> Watch(sys::EventLoop& loop, sys::UniqueFd fd,
                                          std::shared_ptr<ConsoleLog> log);

  // Reads what is there now without waiting, at most the log's capacity many times over.
  void Drain();
  // No more reading; the descriptor is closed on the event loop.
  void Close();

 private:
  LogReader(sys::EventLoop& loop, sys::UniqueFd fd, std::shared_ptr<ConsoleLog> log)
      : loop_(loop), log_(std::move(log)), fd_(std::move(fd)) {}
  // False when the stream has ended.
  bool ReadOnce(bool* more);

  sys::EventLoop& loop_;
  const std::shared_ptr<ConsoleLog> log_;
  Mutex mutex_;
  sys::UniqueFd fd_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::hypervisor
