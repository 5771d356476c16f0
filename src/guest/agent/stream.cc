// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/stream.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace kata::guest {
namespace {

constexpr size_t kMaxWaitingInput = 8 << 20;
constexpr size_t kMaxReaders = 64;
constexpr size_t kMaxRead = 1 << 20;

// Bytes that can be read at once.
size_t Available(int fd) {
  int available = 0;
  if (::ioctl(fd, FIONREAD, &available) != 0) return 0;
  return static_cast<size_t>(available);
}

// read(2) of at most `limit` bytes into `data`, which is made only as large as what is there.
ssize_t ReadSome(int fd, size_t limit, std::string& data) {
  constexpr size_t kProbe = 512;
  const size_t room = std::min(limit, std::max(kProbe, Available(fd)));
  ssize_t n = 0;
  data.resize_and_overwrite(room, [&](char* buffer, size_t size) {
    n = sys::RetryOnEintr([&] { return ::read(fd, buffer, size); });
    return n > 0 ? static_cast<size_t>(n) : 0;
  });
  return n;
}

}  // namespace

InputStream::InputStream(sys::EventLoop& loop, sys::UniqueFd fd, bool terminal)
    : loop_(loop), fd_(std::move(fd)), terminal_(terminal) {}

InputStream::~InputStream() {
  loop_.Remove(fd_.get());
  FailAll(Error(Code::kAborted, "the process has been removed"));
}

void InputStream::Write(std::string data, Done done) {
  if (closing_ || !fd_) return done(Fail(Code::kFailedPrecondition, "standard input is closed"));
  if (waiting_bytes_ + data.size() > kMaxWaitingInput) {
    return done(Fail(Code::kResourceExhausted,
                     fmt::format("{} bytes already wait for the process to read its standard input",
                                 waiting_bytes_)));
  }
  waiting_bytes_ += data.size();
  waiting_.push_back({.data = std::move(data), .done = std::move(done)});
  Flush();
}

void InputStream::Close() {
  closing_ = true;
  Flush();
}

void InputStream::Abandon() {
  closing_ = true;
  Shut();
  FailAll(Error::FromErrno("write", "standard input", EPIPE));
}

void InputStream::Flush() {
  // A callback may write again; the call that is at it goes on with what it added.
  if (std::exchange(flushing_, true)) return;
  while (!waiting_.empty() && fd_) {
    Waiting& first = waiting_.front();
    const size_t left = first.data.size() - first.written;
    const ssize_t n = sys::RetryOnEintr(
        [&] { return ::write(fd_.get(), first.data.data() + first.written, left); });
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      const Error error = Error::FromErrno("write", "standard input");
      Shut();
      FailAll(error);
      break;
    }
    first.written += static_cast<size_t>(n);
    waiting_bytes_ -= static_cast<size_t>(n);
    if (first.written < first.data.size()) continue;
    Waiting finished = std::move(first);
    waiting_.pop_front();
    if (finished.done) finished.done(finished.written);
  }
  flushing_ = false;
  if (waiting_.empty() && closing_ && !terminal_) return Shut();
  Watch(!waiting_.empty());
}

void InputStream::FailAll(const Error& error) {
  std::deque<Waiting> failed = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  for (Waiting& one : failed) {
    if (one.done) one.done(std::unexpected(error));
  }
}

size_t InputStream::waiting() const {
  return static_cast<size_t>(
      std::ranges::count_if(waiting_, [](const Waiting& one) { return one.done != nullptr; }));
}

void InputStream::AnswerWaiting(const Error& error) {
  std::deque<Waiting> answered;
  for (Waiting& one : std::exchange(waiting_, {})) {
    // Who closes after a write does not write again.
    const bool stays = one.written > 0 || one.done == nullptr || closing_;
    if (!stays) waiting_bytes_ -= one.data.size();
    answered.push_back({.data = {}, .written = stays ? one.data.size() : 0, .done = nullptr});
    std::swap(answered.back().done, one.done);
    if (stays) waiting_.push_back(std::move(one));
  }
  for (Waiting& one : answered) {
    if (!one.done) continue;
    one.done(one.written > 0 ? Result<size_t>(one.written) : std::unexpected(error));
  }
  Watch(!waiting_.empty());
}

void InputStream::Watch(bool on) {
  if (on == watched_ || !fd_) return;
  watched_ = on;
  if (!on) return loop_.Remove(fd_.get());
  if (auto added = loop_.Add(fd_.get(), EPOLLOUT, [this](uint32_t) { Flush(); }); !added) {
    Shut();
    FailAll(added.error());
  }
}

void InputStream::Shut() {
  if (!fd_) return;
  loop_.Remove(fd_.get());
  watched_ = false;
  fd_.Reset();
}

OutputStream::OutputStream(sys::EventLoop& loop, sys::UniqueFd fd)
    : loop_(loop), fd_(std::move(fd)) {}

OutputStream::~OutputStream() { End(); }

void OutputStream::Read(size_t limit, Wanted wanted, Done done) {
  std::erase_if(readers_, [](const Reader& reader) { return !reader.wanted(); });
  if (readers_.size() >= kMaxReaders) {
    return done(Fail(Code::kResourceExhausted, "too many calls read this stream already"));
  }
  readers_.push_back({std::clamp<size_t>(limit, 1, kMaxRead), std::move(wanted), std::move(done)});
  Serve();
}

void OutputStream::Abandon() { End(); }

void OutputStream::Serve() {
  if (std::exchange(serving_, true)) return;
  while (!readers_.empty() && fd_) {
    if (!readers_.front().wanted()) {
      readers_.pop_front();
      continue;
    }
    if (ShouldGather()) break;
    std::string data;
    const ssize_t n = ReadSome(fd_.get(), readers_.front().limit, data);
    if (n < 0 && errno == EAGAIN) break;
    // A terminal's master fails with EIO when its last slave is closed. Any other error ends the
    // stream too: there is nothing that a reader could do but to stop.
    if (n <= 0) {
      End();
      break;
    }
    Reader reader = std::move(readers_.front());
    readers_.pop_front();
    last_read_ = sys::EventLoop::Clock::now();
    gathered_ = false;
    reader.done(std::move(data));
  }
  serving_ = false;
  if (!fd_) return End();
  Watch(!readers_.empty() && !gathering_);
}

// The first page that a process writes wakes this loop, and on one processor the process gets no
// further until it has been served: a stream would be carried page by page, each with the cost of a
// call. So after a recent read little data waits for more to come.
bool OutputStream::ShouldGather() {
  constexpr size_t kEnough = 32 << 10;
  constexpr std::chrono::milliseconds kRecently{10};
  constexpr std::chrono::milliseconds kPause{1};
  if (gathering_) return true;
  const size_t available = Available(fd_.get());
  if (gathered_ || available == 0 || available >= std::min(kEnough, readers_.front().limit)) {
    return false;
  }
  if (sys::EventLoop::Clock::now() - last_read_ > kRecently) return false;
  gathering_ = loop_.RunAfter(kPause, [this] {
    gathering_.reset();
    gathered_ = true;
    Serve();
  });
  return true;
}

void OutputStream::Watch(bool on) {
  if (on == watched_ || !fd_) return;
  watched_ = on;
  if (!on) return loop_.Remove(fd_.get());
  if (!loop_.Add(fd_.get(), EPOLLIN, [this](uint32_t) { Serve(); })) End();
}

void OutputStream::End() {
  if (gathering_) loop_.Cancel(*gathering_);
  gathering_.reset();
  if (fd_) {
    loop_.Remove(fd_.get());
    watched_ = false;
    fd_.Reset();
  }
  for (Reader& reader : std::exchange(readers_, {})) reader.done(std::string());
}

}  // namespace kata::guest
