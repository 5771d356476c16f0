// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::stdio {
namespace {

// The kernel tells nobody that a fifo was opened, or was read to its end.
constexpr std::chrono::milliseconds kReaderCheck(2);

// A socket that a caller handed over keeps its flags: only the single call must not block.
ssize_t WriteNow(int fd, const char* data, size_t size) {
  const ssize_t n =
      sys::RetryOnEintr([&] { return ::send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (n >= 0 || errno != ENOTSOCK) return n;
  return sys::RetryOnEintr([&] { return ::write(fd, data, size); });
}

ssize_t ReadNow(int fd, char* data, size_t size) {
  const ssize_t n = sys::RetryOnEintr([&] { return ::recv(fd, data, size, MSG_DONTWAIT); });
  if (n >= 0 || errno != ENOTSOCK) return n;
  return sys::RetryOnEintr([&] { return ::read(fd, data, size); });
}

bool IsNonBlockingFifo(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
         (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

// Of a fifo that OpenOutput has opened, and of nobody's own pipe.
bool IsItsOwnReader(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
         (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

bool HoldsBytes(int pipe) {
  int bytes = 0;
  return ::ioctl(pipe, FIONREAD, &bytes) == 0 && bytes > 0;
}

// Of the writing end of a pipe.
bool HasReader(int pipe) {
  pollfd wanted{.fd = pipe, .events = 0, .revents = 0};
  return ::poll(&wanted, 1, 0) == 0;
}

}  // namespace

OutputPump::OutputPump(sys::EventLoop& loop, Output sink, ReadGuest read_guest,
                       std::function<void()> done, std::function<void()> refuse)
    : loop_(loop),
      sink_(std::move(sink.fd)),
      reader_is_late_(sink.reader_is_late),
      read_guest_(std::move(read_guest)),
      done_(std::move(done)),
      refuse_(std::move(refuse)),
      last_progress_(std::chrono::steady_clock::now()) {}

OutputPump::~OutputPump() { StopWatching(); }

void OutputPump::Start() { Ask(); }

void OutputPump::Ask() {
  asking_ = true;
  read_guest_([weak = weak_from_this()](Result<std::string> chunk) {
    if (const auto self = weak.lock()) self->OnChunk(std::move(chunk));
  });
}

void OutputPump::OnChunk(Result<std::string> chunk) {
  if (finished_) return;
  asking_ = false;
  if (!chunk)
    log::Warn("output of the guest ends with an error", {{"error", chunk.error().message()}});
  if (!chunk || chunk->empty()) return EndWithReader();
  last_progress_ = std::chrono::steady_clock::now();
  pending_ = *std::move(chunk);
  written_ = 0;
  Write();
}

void OutputPump::Write() {
  while (sink_ && written_ < pending_.size()) {
    const ssize_t n = WriteNow(sink_.get(), pending_.data() + written_, pending_.size() - written_);
    if (n >= 0) {
      written_ += static_cast<size_t>(n);
      last_progress_ = std::chrono::steady_clock::now();
      continue;
    }
    if (errno == EAGAIN) {
      if (!watching_) {
        watching_ = loop_.Add(sink_.get(), EPOLLOUT, [this](uint32_t) { Write(); }).has_value();
      }
      return;
    }
    const Error error = Error::FromErrno("write");
    StopWatching();
    sink_.Reset();
    if (error.error_number() == EPIPE && refuse_) {
      std::exchange(refuse_, {})();
      break;
    }
    // A full disk or a dead logger must not stop the program: what it says is lost from here on.
    log::Warn("container output is lost", {{"error", error.message()}});
  }
  StopWatching();
  pending_.clear();
  // Through the loop, so that a guest that always has more cannot starve the others.
  loop_.Post([weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->finished_) self->Ask();
  });
}

void OutputPump::StopWatching() {
  if (std::exchange(watching_, false)) loop_.Remove(sink_.get());
}

void OutputPump::EndWithReader() {
  if (!sink_ || !IsItsOwnReader(sink_.get()) || !HoldsBytes(sink_.get())) return Finish();
  // Our own reading end would hide whether there is another.
  auto writer = sys::Open(sys::DescriptorPath(sink_.get()), O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (!writer) return Finish();
  sink_ = *std::move(writer);
  AwaitReader();
}

void OutputPump::AwaitReader() {
  if (finished_) return;
  if (!HoldsBytes(sink_.get())) return Finish();
  if (HasReader(sink_.get())) {
    reader_is_late_ = false;
  } else if (!reader_is_late_) {
    return Finish();
  }
  loop_.RunAfter(kReaderCheck, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->AwaitReader();
  });
}

void OutputPump::Finish() {
  if (std::exchange(finished_, true)) return;
  StopWatching();
  sink_.Reset();
  pending_ = {};
  if (const auto done = std::exchange(done_, {})) done();
}

InputPump::InputPump(sys::EventLoop& loop, sys::UniqueFd reader, sys::UniqueFd keeper,
                     WriteGuest write_guest, std::function<void()> end_of_input)
    : loop_(loop),
      reader_(std::move(reader)),
      keeper_(std::move(keeper)),
      write_guest_(std::move(write_guest)),
      end_of_input_(std::move(end_of_input)),
      hides_end_(!keeper_ && IsNonBlockingFifo(reader_.get())) {}

InputPump::~InputPump() { Finish(); }

void InputPump::Start() { Watch(); }

void InputPump::Watch() {
  const auto watched = loop_.Add(reader_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
  watching_ = watched.has_value();
  if (watched && !hides_end_) return;
  // Regular files and /dev/null cannot be watched: they are always ready.
  if (!watched && watched.error().error_number() != EPERM) return;
  loop_.Post([weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->finished_) self->OnReadable();
  });
}

void InputPump::OnReadable() {
  constexpr size_t kChunk = 64 << 10;
  std::string data(kChunk, '\0');
  const ssize_t n = ReadNow(reader_.get(), data.data(), data.size());
  if (n < 0 && errno == EAGAIN) return;
  if (std::exchange(watching_, false)) loop_.Remove(reader_.get());
  if (n <= 0) {
    Finish();
    if (end_of_input_) end_of_input_();
    return;
  }
  data.resize(static_cast<size_t>(n));
  write_guest_(std::move(data), [weak = weak_from_this()](Result<void> taken) {
    const auto self = weak.lock();
    if (!self || self->finished_) return;
    if (taken) {
      self->Watch();
    } else {
      self->Finish();
    }
  });
}

void InputPump::Finish() {
  if (std::exchange(finished_, true)) return;
  if (std::exchange(watching_, false)) loop_.Remove(reader_.get());
  reader_.Reset();
  keeper_.Reset();
}

}  // namespace kata::stdio
