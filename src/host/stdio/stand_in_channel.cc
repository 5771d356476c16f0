// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/stand_in_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <csignal>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::stdio {
namespace {

constexpr size_t kMaxDescriptors = 5;

// A description of our own of the file behind `fd`, so that O_NONBLOCK does not reach the caller,
// who has the same pipe or terminal open. Sockets and regular files have no second one.
sys::UniqueFd OwnDescription(sys::UniqueFd fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fd;
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return fd;
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fd;
  // A pipe without readers does not open: the caller's descriptor then tells of it with EPIPE.
  auto own = sys::Open(fmt::format("/proc/self/fd/{}", fd.get()),
                       (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY);
  return own ? *std::move(own) : std::move(fd);
}

// Receives one byte and up to kMaxDescriptors descriptors; further ones are closed.
Result<size_t> ReceiveStreams(int connection, std::array<sys::UniqueFd, kMaxDescriptors>& streams) {
  uint8_t announced = 0;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  iovec part{.iov_base = &announced, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n =
      sys::RetryOnEintr([&] { return ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) return FailErrno("recvmsg");
  size_t received = 0;
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      sys::UniqueFd owned(fd);
      if (received < kMaxDescriptors) streams[received] = std::move(owned);
      ++received;
    }
  }
  if (n != 1 || announced != received) {
    return Fail(Code::kInvalidArgument, "the stand-in sent something else than its descriptors");
  }
  return received;
}

Result<StandInStreams> Open(const std::string& path, bool terminal, Deadline deadline) {
  StandInStreams result;
  result.channel = KATA_TRY(sys::ConnectUnix(path, deadline));
  const sys::PeerCredentials peer = KATA_TRY(sys::GetPeerCredentials(result.channel.get()));
  if (peer.uid != ::geteuid()) {
    return Fail(Code::kPermissionDenied, fmt::format("the listener has user id {}", peer.uid));
  }
  KATA_TRY(sys::WaitFor(result.channel.get(), POLLIN, deadline));
  std::array<sys::UniqueFd, kMaxDescriptors> streams;
  const size_t wanted = terminal ? 2 : 3;
  const size_t received = KATA_TRY(ReceiveStreams(result.channel.get(), streams));
  if (received < wanted || received > wanted + 2) {
    return Fail(Code::kInvalidArgument, fmt::format("expected {} streams", wanted));
  }
  result.mount_namespace = std::move(streams[wanted]);
  result.proc = std::move(streams[wanted + 1]);
  result.in = OwnDescription(std::move(streams[0]));
  result.out = OwnDescription(std::move(streams[1]));
  if (!terminal) result.err = OwnDescription(std::move(streams[2]));
  KATA_TRY(sys::SetNonBlocking(result.channel.get()));
  return result;
}

}  // namespace

Result<StandInStreams> OpenStandIn(const std::string& path, bool terminal, Deadline deadline) {
  return KATA_TRY_WITHIN(fmt::format("stdio \"{}{}\"", kStandInScheme, path),
                         Open(path, terminal, deadline));
}

StandInChannel::StandInChannel(sys::EventLoop& loop, sys::UniqueFd connection, Handler handler)
    : loop_(loop), connection_(std::move(connection)), handler_(std::move(handler)) {}

StandInChannel::~StandInChannel() { StopWatching(); }

void StandInChannel::Watch(const std::shared_ptr<StandInChannel>& self) {
  if (!self->connection_ || self->watching_) return;
  self->watching_ = self->loop_
                        .Add(self->connection_.get(), EPOLLIN,
                             [weak = std::weak_ptr(self)](uint32_t) {
                               if (const auto channel = weak.lock()) channel->OnReadable(channel);
                             })
                        .has_value();
}

void StandInChannel::StopWatching() {
  if (std::exchange(watching_, false)) loop_.Remove(connection_.get());
}

void StandInChannel::OnReadable(const std::shared_ptr<StandInChannel>& self) {
  StandInMessage message;
  const ssize_t n = ::recv(connection_.get(), &message, sizeof message, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  StopWatching();
  StandInEvent event;
  // Eight bytes on a socket that nobody else writes to arrive together.
  if (n == static_cast<ssize_t>(sizeof message) && message.kind == StandInMessage::kSignal) {
    event = {.kind = StandInEvent::Kind::kSignal, .signal = message.first};
  } else if (n == static_cast<ssize_t>(sizeof message) && message.kind == StandInMessage::kResize) {
    event = {.kind = StandInEvent::Kind::kResize, .rows = message.first, .columns = message.second};
  } else {
    connection_.Reset();
  }
  if (!handler_) return;
  handler_(event, [self] { self->loop_.Post([self] { Watch(self); }); });
}

void StandInChannel::SendExit(uint32_t status) {
  handler_ = {};
  StopWatching();
  if (!connection_) return;
  const StandInMessage message{.kind = StandInMessage::kExit,
                               .first = static_cast<uint16_t>(status)};
  // The socket's buffer is empty: this is the first that the shim writes to it.
  (void)::send(connection_.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
  connection_.Reset();
}

}  // namespace kata::stdio
