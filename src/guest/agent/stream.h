// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/stream.h - the agent's ends of a process's standard streams.
//
// Nothing is buffered here beyond what a caller is waiting to have written: output is read only
// while somebody asks for it, so a process that writes faster than the host reads is held back by
// its own pipe. All of it belongs to the loop's thread; callbacks run on it, possibly before the
// call that they belong to has returned.
// Basis: pipe(7), pty(7).
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::guest {

// Where a process's standard input comes from: the writing end of its pipe, or the master of its
// terminal.
class InputStream {
 public:
  using Done = std::move_only_function<void(Result<size_t> written)>;

  // `fd` must be non-blocking; an invalid one makes a stream that is closed.
  InputStream(sys::EventLoop& loop, sys::UniqueFd fd, bool terminal);
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;
  ~InputStream();

  // Calls `done` when all of `data` has been written, in the order of the calls.
  // Errors  kFailedPrecondition  Close() came before
  //         kResourceExhausted   too much waits already
  //         the write's own      the process no longer reads (EPIPE)
  void Write(std::string data, Done done);
  // The process sees end of file after what waits. A terminal stays open, as its master cannot be
  // closed without hanging up.
  void Close();
  // Nobody reads any more: what waits fails with EPIPE.
  void Abandon();
  // Callers that wait for their data to be written.
  size_t waiting() const;
  // Lets no caller wait any longer: of whose data nothing has been written is told `error`, and it
  // is forgotten; other data counts as written, and will be.
  void AnswerWaiting(const Error& error);

 private:
  struct Waiting {
    std::string data;
    size_t written = 0;
    Done done;  // null once it has been called
  };

  void Flush();
  void FailAll(const Error& error);
  void Watch(bool on);
  void Shut();

  sys::EventLoop& loop_;
  sys::UniqueFd fd_;
  const bool terminal_;
  bool closing_ = false;
  bool watched_ = false;
  bool flushing_ = false;
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
};

// What a process writes: the reading end of a pipe, or the master of its terminal.
class OutputStream {
 public:
  // Empty data is the end: every writer has closed its end.
  using Done = std::move_only_function<void(Result<std::string> data)>;
  // Whether somebody still waits for the data.
  using Wanted = std::function<bool()>;

  // `fd` must be non-blocking; an invalid one makes a stream at its end.
  OutputStream(sys::EventLoop& loop, sys::UniqueFd fd);
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;
  ~OutputStream();

  // Calls `done` with 1 to `limit` bytes as soon as there are any, at most 1 MiB, in the order of
  // the calls. A reader that is no longer wanted takes no bytes and is not called. While much is
  // written, a read of little waits a millisecond for more.
  // Errors  kResourceExhausted  too many readers wait already
  void Read(size_t limit, Wanted wanted, Done done);
  // The end, whatever still could be written.
  void Abandon();
  bool at_end() const { return !fd_.valid(); }

 private:
  struct Reader {
    size_t limit;
    Wanted wanted;
    Done done;
  };

  void Serve();
  bool ShouldGather();
  void Watch(bool on);
  void End();

  sys::EventLoop& loop_;
  sys::UniqueFd fd_;
  bool watched_ = false;
  bool serving_ = false;
  bool gathered_ = false;  // the pause before the next read is over
  std::optional<sys::EventLoop::TimerId> gathering_;
  sys::EventLoop::Clock::time_point last_read_{};
  std::deque<Reader> readers_;
};

}  // namespace kata::guest
