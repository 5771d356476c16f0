// SPDX-License-Identifier: Apache-2.0
#include "sys/fd.h"

#include <fcntl.h>
#include <poll.h>

namespace kata::sys {

Result<Pipe> MakePipe(int extra_flags) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | extra_flags) != 0) return FailErrno("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<void> SetNonBlocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return FailErrno("fcntl F_GETFL");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) != 0) return FailErrno("fcntl F_SETFL");
  return {};
}

Result<void> SetCloseOnExec(int fd, bool on) {
  if (::fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) != 0) return FailErrno("fcntl F_SETFD");
  return {};
}

Result<UniqueFd> Duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return FailErrno("fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(copy);
}

namespace {

Result<void> CloseRange(unsigned first, unsigned last) {
  if (first > last || ::close_range(first, last, 0) == 0) return {};
  return FailErrno("close_range");
}

}  // namespace

Result<void> CloseAllBut(std::span<const int> keep) {
  int next = STDERR_FILENO + 1;
  for (const int fd : keep) {
    if (fd < next) continue;
    KATA_TRY(CloseRange(static_cast<unsigned>(next), static_cast<unsigned>(fd - 1)));
    next = fd + 1;
  }
  return CloseRange(static_cast<unsigned>(next), ~0U);
}

Result<void> WaitFor(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int n = ::poll(&entry, 1, deadline.PollMillis());
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return FailErrno("poll");
    if (deadline.Passed()) return Fail(Code::kDeadlineExceeded, "no answer in time");
  }
}

Result<void> WriteAll(int fd, std::string_view data, Deadline deadline) {
  while (!data.empty()) {
    const ssize_t n = RetryOnEintr([&] { return ::write(fd, data.data(), data.size()); });
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      KATA_TRY(WaitFor(fd, POLLOUT, deadline));
    } else {
      return FailErrno("write");
    }
  }
  return {};
}

Result<std::string> ReadToEnd(int fd, size_t limit) {
  std::string content;
  char buffer[16384];
  for (;;) {
    const ssize_t n = RetryOnEintr([&] { return ::read(fd, buffer, sizeof buffer); });
    if (n < 0) return FailErrno("read");
    if (n == 0) return content;
    if (content.size() + static_cast<size_t>(n) > limit) {
      return Fail(Code::kOutOfRange, "more than " + std::to_string(limit) + " bytes");
    }
    content.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace kata::sys
