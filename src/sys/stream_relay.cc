// SPDX-License-Identifier: Apache-2.0
#include "sys/stream_relay.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/log.h"

namespace kata::sys {
namespace {

constexpr size_t kChunk = 64 << 10;

bool MustWait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

StreamRelay::StreamRelay(EventLoop& loop, UniqueFd one, UniqueFd other) : loop_(loop) {
  sides_[0].fd = std::move(one);
  sides_[1].fd = std::move(other);
}

StreamRelay::~StreamRelay() {
  for (const Side& side : sides_) {
    if (side.watched != 0) loop_.Remove(side.fd.get());
  }
}

void StreamRelay::Start(std::function<void()> done) {
  done_ = std::move(done);
  Watch(0);
  Watch(1);
}

void StreamRelay::Watch(size_t side) {
  Side& here = sides_[side];
  const Side& there = sides_[1 - side];
  const uint32_t wanted = (!here.ended && here.waiting.empty() ? EPOLLIN : 0U) |
                          (there.waiting.empty() ? 0U : EPOLLOUT);
  if (wanted == here.watched) return;
  // Not with no events at all: of an end that was read already it would be told again and again.
  if (wanted == 0) {
    loop_.Remove(here.fd.get());
  } else if (here.watched != 0) {
    LogIfFailed(loop_.Modify(here.fd.get(), wanted));
  } else {
    LogIfFailed(
        loop_.Add(here.fd.get(), wanted, [this, side](uint32_t events) { OnReady(side, events); }));
  }
  here.watched = wanted;
}

bool StreamRelay::Read(Side& from) {
  if (from.ended || !from.waiting.empty()) return true;
  from.waiting.resize_and_overwrite(kChunk, [&](char* data, size_t size) {
    const ssize_t count = ::recv(from.fd.get(), data, size, MSG_DONTWAIT);
    from.ended = count == 0;
    return count > 0 ? static_cast<size_t>(count) : 0;
  });
  from.sent = 0;
  return !from.waiting.empty() || from.ended || MustWait();
}

bool StreamRelay::Write(Side& from, Side& to) {
  while (from.sent < from.waiting.size()) {
    const ssize_t count = ::send(to.fd.get(), from.waiting.data() + from.sent,
                                 from.waiting.size() - from.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) return MustWait();
    from.sent += static_cast<size_t>(count);
  }
  // Idle connections keep no memory.
  std::string().swap(from.waiting);
  if (from.ended && !to.closed) {
    to.closed = true;
    // One that has gone meanwhile says so when it is read.
    (void)::shutdown(to.fd.get(), SHUT_WR);
  }
  return true;
}

bool StreamRelay::Move(Side& from, Side& to) { return Read(from) && Write(from, to); }

// The peer is to see a reset, as it would without anybody between.
void StreamRelay::Break() {
  for (const Side& side : sides_) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    (void)::setsockopt(side.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
}

void StreamRelay::OnReady(size_t side, uint32_t events) {
  Side& here = sides_[side];
  Side& there = sides_[1 - side];
  bool whole = true;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) whole = Move(here, there);
  if (whole && (events & EPOLLOUT) != 0) whole = Write(there, here);
  if (whole && (events & EPOLLERR) != 0 && here.ended) whole = false;
  if (!whole) Break();
  const bool over = sides_[0].closed && sides_[1].closed;
  if (!whole || over) {
    const auto done = std::exchange(done_, nullptr);
    if (done) done();
    return;
  }
  Watch(0);
  Watch(1);
}

}  // namespace kata::sys
