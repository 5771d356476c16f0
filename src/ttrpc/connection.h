// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/connection.h - frames over one stream, on an event loop.
//
// Reading happens on the loop's thread, a bounded amount per round. Writing is tried at once on the
// caller's thread; what the kernel does not take waits in a queue that the loop empties.
// Basis: epoll(7); Linux drivers/char/virtio_console.c for ports whose host is away.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::ttrpc {

enum class StreamKind {
  // A connected socket: end of file and hang-up end the connection.
  kConnected,
  // A character device whose far end comes and goes, such as a guest's virtio-serial port: end of
  // file and hang-up mean that nobody is connected right now. What was queued for the one who left
  // is dropped, and reading goes on when the next one has sent something. No CPU time is used
  // in between.
  kReconnecting
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // All are called on the loop's thread, without a lock of the connection held. They are
  // destroyed when the connection has closed.
  struct Callbacks {
    // New bytes; returns how many it took. The rest, if any, comes again once the queue has fallen
    // to Options::stop_reading_above.
    std::function<size_t(std::string_view bytes)> on_bytes;
    // kReconnecting only: the far end has gone. May come more than once for one departure.
    std::function<void()> on_peer_gone;
    // Once, last.
    std::function<void(const Error& reason)> on_closed;
  };
  struct Options {
    StreamKind kind = StreamKind::kConnected;
    // Nothing is read while more bytes than this wait to be written.
    size_t stop_reading_above = std::numeric_limits<size_t>::max();
  };

  // From any thread. The descriptor becomes non-blocking; reading begins on the loop's thread.
  // The loop outlives the connection's use.
  static Result<std::shared_ptr<Connection>> Create(sys::EventLoop& loop, sys::UniqueFd fd,
                                                    const Options& options, Callbacks callbacks);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() = default;

  // From any thread: frames go out whole and in the order of the calls. Dropped once closed.
  void Send(std::string frame);
  // From any thread: bytes that wait to be written.
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }

  // From any thread: nothing is sent or delivered any more, and on_closed follows on the loop's
  // thread. The far end of a socket sees the end at once.
  void Close(const Error& reason);
  // On the loop's thread, or when the loop does not run: as Close(), with on_closed called before
  // it returns.
  void CloseNow(const Error& reason);

 private:
  Connection(sys::EventLoop& loop, sys::UniqueFd fd, const Options& options, bool is_socket,
             Callbacks callbacks);

  // The loop's thread only.
  void Watch();
  void OnEvents(uint32_t events);
  void ReadRound();
  bool ReadOnce(bool* more);
  void Deliver(std::string_view bytes);
  bool ReadingPaused() const;
  void DrainAndClose(const Error& reason);
  void OnPeerGone();
  void FlushRound();
  void UpdateInterest();
  void Finish(const Error& reason);

  bool closed() const KATA_EXCLUDES(mutex_);
  bool reconnecting() const { return options_.kind == StreamKind::kReconnecting; }
  // The stream, on the loop's thread: only there it is closed, so reading it needs no lock.
  int LoopFd() const KATA_NO_THREAD_SAFETY_ANALYSIS { return fd_.get(); }

  void Post(std::move_only_function<void(Connection&)> step);
  void FailLocked(const Error& reason) KATA_REQUIRES(mutex_);
  void DropQueueLocked() KATA_REQUIRES(mutex_);
  // Writes as much of the queue as the kernel takes, at most `max_calls` writes. False when
  // the kernel has no room or the connection failed.
  bool WriteQueueLocked(int max_calls) KATA_REQUIRES(mutex_);

  sys::EventLoop& loop_;
  const Options options_;
  const bool is_socket_;

  std::shared_ptr<Callbacks> callbacks_;
  std::string unread_;
  uint32_t interest_ = 0;

  mutable Mutex mutex_;
  sys::UniqueFd fd_ KATA_GUARDED_BY(mutex_);
  std::deque<std::string> queue_ KATA_GUARDED_BY(mutex_);
  size_t head_written_ KATA_GUARDED_BY(mutex_) = 0;
  bool closed_ KATA_GUARDED_BY(mutex_) = false;
  bool finished_ KATA_GUARDED_BY(mutex_) = false;
  bool write_failed_ KATA_GUARDED_BY(mutex_) = false;
  bool write_watched_ KATA_GUARDED_BY(mutex_) = false;
  std::atomic<size_t> queued_bytes_ = 0;  // written under mutex_, read without
};

}  // namespace kata::ttrpc
