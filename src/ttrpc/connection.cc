// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/connection.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace kata::ttrpc {
namespace {

// What one round reads and writes at most, so that a busy stream leaves time for the others.
constexpr size_t kReadSize = 32 << 10;
constexpr int kReadsPerRound = 8;
constexpr int kWritesPerRound = 8;
constexpr int kReadsBeforeClose = 256;
constexpr size_t kBuffersPerWrite = 64;

// Edge-triggered where the far end may be away: a port without a host polls as readable and hung up
// all the time, and wakes its waiters when the host or data arrives.
constexpr uint32_t kReconnectingInterest = EPOLLIN | EPOLLOUT | EPOLLET;

}  // namespace

Connection::Connection(sys::EventLoop& loop, sys::UniqueFd fd, const Options& options,
                       bool is_socket, Callbacks callbacks)
    : loop_(loop),
      options_(options),
      is_socket_(is_socket),
      callbacks_(std::make_shared<Callbacks>(std::move(callbacks))),
      fd_(std::move(fd)) {}

Result<std::shared_ptr<Connection>> Connection::Create(sys::EventLoop& loop, sys::UniqueFd fd,
                                                       const Options& options,
                                                       Callbacks callbacks) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return FailErrno("fstat");
  KATA_TRY(sys::SetNonBlocking(fd.get()));
  std::shared_ptr<Connection> connection(
      new Connection(loop, std::move(fd), options, S_ISSOCK(status.st_mode), std::move(callbacks)));
  if (loop.OnLoopThread()) {
    connection->Watch();
  } else {
    loop.Post([connection] { connection->Watch(); });
  }
  return connection;
}

void Connection::Watch() {
  if (closed()) return;
  interest_ = reconnecting() ? kReconnectingInterest : EPOLLIN;
  const Result<void> added =
      loop_.Add(LoopFd(), interest_,
                [self = shared_from_this()](uint32_t events) { self->OnEvents(events); });
  if (!added) return Close(added.error());
  UpdateInterest();
}

bool Connection::closed() const {
  const MutexLock lock(mutex_);
  return closed_;
}

void Connection::OnEvents(uint32_t events) {
  const auto self = shared_from_this();
  if (closed()) return;
  if (events & EPOLLOUT) FlushRound();
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    if (!ReadingPaused()) {
      ReadRound();
    } else if (events & (EPOLLHUP | EPOLLERR)) {
      // Nobody will read what is queued, and level-triggered polling would report this for ever.
      if (!reconnecting()) return CloseNow(Error(Code::kUnavailable, "the peer hung up"));
      OnPeerGone();
      ReadRound();
    }
  }
  UpdateInterest();
}

bool Connection::ReadingPaused() const {
  return !unread_.empty() || queued_bytes() > options_.stop_reading_above;
}

void Connection::ReadRound() {
  bool more = true;
  for (int i = 0; i < kReadsPerRound && more; ++i) {
    if (closed() || ReadingPaused()) return;
    if (!ReadOnce(&more)) return;
  }
  if (!more || !reconnecting()) return;
  Post([](Connection& self) { self.ReadRound(); });
}

// False when the stream has ended for now. `more` tells whether another read may give something.
bool Connection::ReadOnce(bool* more) {
  std::array<char, kReadSize> buffer;
  const ssize_t n = sys::RetryOnEintr([&] { return ::read(LoopFd(), buffer.data(), kReadSize); });
  if (n > 0) {
    // Level-triggered, a short read ends the round: the next poll tells whether there is more.
    *more = reconnecting() || n == static_cast<ssize_t>(kReadSize);
    Deliver(std::string_view(buffer.data(), static_cast<size_t>(n)));
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    *more = false;
    return true;
  }
  // A terminal reports EIO where a virtio-serial port reports end of file.
  if (reconnecting() && (n == 0 || errno == EIO)) {
    OnPeerGone();
    return false;
  }
  CloseNow(n == 0 ? Error(Code::kUnavailable, "the peer closed the connection")
                  : Error::FromErrno("read").WithCode(Code::kUnavailable));
  return false;
}

void Connection::Deliver(std::string_view bytes) {
  const std::shared_ptr<Callbacks> callbacks = callbacks_;
  if (!callbacks) return;
  const size_t taken = callbacks->on_bytes(bytes);
  if (taken < bytes.size() && !closed()) unread_ = bytes.substr(taken);
}

void Connection::DrainAndClose(const Error& reason) {
  // What the peer sent before it went may hold the answers that callers wait for.
  bool more = true;
  for (int i = 0; i < kReadsBeforeClose && more && !closed() && !ReadingPaused(); ++i) {
    if (!ReadOnce(&more)) return;
  }
  CloseNow(reason);
}

void Connection::OnPeerGone() {
  unread_.clear();
  {
    const MutexLock lock(mutex_);
    DropQueueLocked();
  }
  const std::shared_ptr<Callbacks> callbacks = callbacks_;
  if (callbacks && callbacks->on_peer_gone) callbacks->on_peer_gone();
}

void Connection::FlushRound() {
  const bool was_paused = ReadingPaused();
  {
    const MutexLock lock(mutex_);
    if (closed_) return;
    const bool room_left = WriteQueueLocked(kWritesPerRound);
    if (closed_) return;
    if (queue_.empty()) {
      write_watched_ = false;
    } else if (room_left && reconnecting()) {
      Post([](Connection& self) { self.FlushRound(); });
    }
  }
  if (!was_paused || queued_bytes() > options_.stop_reading_above) return;
  if (!unread_.empty()) {
    const std::string again = std::exchange(unread_, {});
    Deliver(again);
  }
  if (reconnecting() && !ReadingPaused()) ReadRound();
}

void Connection::UpdateInterest() {
  if (reconnecting() || closed()) return;
  uint32_t wanted = 0;
  if (!ReadingPaused()) wanted |= EPOLLIN;
  {
    const MutexLock lock(mutex_);
    if (write_watched_) wanted |= EPOLLOUT;
  }
  if (wanted == interest_) return;
  interest_ = wanted;
  if (const Result<void> modified = loop_.Modify(LoopFd(), wanted); !modified) {
    Close(modified.error());
  }
}

void Connection::Send(std::string frame) {
  const MutexLock lock(mutex_);
  if (closed_ || write_failed_) return;
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  if (queue_.size() > 1) return;
  WriteQueueLocked(kWritesPerRound);
  if (queue_.empty() || closed_ || write_watched_) return;
  write_watched_ = true;
  Post([](Connection& self) {
    // Edge-triggered, room that was left behind by the bound on writes is not reported again.
    if (self.reconnecting()) self.FlushRound();
    self.UpdateInterest();
  });
}

bool Connection::WriteQueueLocked(int max_calls) {
  const int fd = fd_.get();
  for (int call = 0; call < max_calls && !queue_.empty(); ++call) {
    std::array<iovec, kBuffersPerWrite> buffers;
    size_t count = 0;
    size_t skip = head_written_;
    for (auto frame = queue_.begin(); frame != queue_.end() && count < buffers.size(); ++frame) {
      buffers[count++] = {.iov_base = frame->data() + skip, .iov_len = frame->size() - skip};
      skip = 0;
    }
    msghdr message{};
    message.msg_iov = buffers.data();
    message.msg_iovlen = count;
    const ssize_t n = sys::RetryOnEintr([&] {
      return is_socket_ ? ::sendmsg(fd, &message, MSG_NOSIGNAL)
                        : ::writev(fd, buffers.data(), static_cast<int>(count));
    });
    if (n < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      const Error reason = Error::FromErrno("write").WithCode(Code::kUnavailable);
      DropQueueLocked();
      // Where the far end comes and goes, reading finds out that it has gone.
      if (!reconnecting() && !std::exchange(write_failed_, true)) {
        Post([reason](Connection& self) { self.DrainAndClose(reason); });
      }
      return false;
    }
    queued_bytes_ -= static_cast<size_t>(n);
    head_written_ += static_cast<size_t>(n);
    while (!queue_.empty() && head_written_ >= queue_.front().size()) {
      head_written_ -= queue_.front().size();
      queue_.pop_front();
    }
  }
  return true;
}

void Connection::DropQueueLocked() {
  queue_.clear();
  head_written_ = 0;
  queued_bytes_ = 0;
}

void Connection::Post(std::move_only_function<void(Connection&)> step) {
  loop_.Post([self = shared_from_this(), step = std::move(step)]() mutable {
    if (!self->closed()) step(*self);
  });
}

void Connection::FailLocked(const Error& reason) {
  closed_ = true;
  DropQueueLocked();
  loop_.Post([self = shared_from_this(), reason] { self->Finish(reason); });
}

void Connection::Close(const Error& reason) {
  const MutexLock lock(mutex_);
  if (closed_) return;
  if (is_socket_) ::shutdown(fd_.get(), SHUT_RDWR);
  FailLocked(reason);
}

void Connection::CloseNow(const Error& reason) {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    DropQueueLocked();
  }
  Finish(reason);
}

void Connection::Finish(const Error& reason) {
  const auto self = shared_from_this();
  {
    const MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    loop_.Remove(fd_.get());
    fd_.Reset();
  }
  unread_.clear();
  const std::shared_ptr<Callbacks> callbacks = std::exchange(callbacks_, nullptr);
  if (callbacks && callbacks->on_closed) callbacks->on_closed(reason);
}

}  // namespace kata::ttrpc
