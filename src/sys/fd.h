// SPDX-License-Identifier: Apache-2.0
//
// sys/fd.h - file descriptors with an owner, and the calls that every user of one needs.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/deadline.h"
#include "base/result.h"

namespace kata::sys {

// Owns one descriptor, or none. close(2) is called once and never retried: on Linux the descriptor
// is gone even when close reports EINTR.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// Calls `call` until it fails with something other than EINTR.
template <class Call>
auto RetryOnEintr(Call call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

// Both ends close-on-exec.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> MakePipe(int extra_flags = 0);

Result<void> SetNonBlocking(int fd, bool on = true);
Result<void> SetCloseOnExec(int fd, bool on);
Result<UniqueFd> Duplicate(int fd);

// Closes every descriptor above 2 but those of `keep`, which ascend. For a child that goes on as
// this program after fork(2): what it holds, others wait for. Only makes system calls.
Result<void> CloseAllBut(std::span<const int> keep);

// Writes all of `data`. On a non-blocking descriptor waits for room until the deadline.
// Errors  kDeadlineExceeded, or the system call's.
Result<void> WriteAll(int fd, std::string_view data, Deadline deadline = Deadline::Never());

// Reads until end of file.
// Errors  kOutOfRange  more than `limit` bytes came
Result<std::string> ReadToEnd(int fd, size_t limit);

// Waits until one of `events` (POLLIN, POLLOUT) is true for `fd`.
// Errors  kDeadlineExceeded
Result<void> WaitFor(int fd, short events, Deadline deadline);

}  // namespace kata::sys
